"""What the server was told."""
