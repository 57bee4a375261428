"""The Gerbang server."""
