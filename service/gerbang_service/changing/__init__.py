"""Use cases that change something: enrol, lists and subjects; the one writer."""
