"""What stored values are encrypted with."""
