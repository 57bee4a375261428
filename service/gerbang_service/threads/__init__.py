"""Threads for blocking work: how much may wait, until when, and what shares a batch."""
