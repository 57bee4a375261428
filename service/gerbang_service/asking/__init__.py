"""Use cases that change nothing: identify, verify, extract; the recall check."""
