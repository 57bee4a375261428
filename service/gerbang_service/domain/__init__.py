"""Subjects, watchlists, decisions, errors: pure, and importing nothing of the other packages."""
