"""Generators of candidates: who may be similar."""
