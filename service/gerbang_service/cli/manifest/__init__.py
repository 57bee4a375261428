"""Manifests: people to enrol, or who were exported, as rows of a CSV file or of JSON Lines."""
