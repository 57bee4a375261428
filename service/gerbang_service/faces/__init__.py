"""Bytes of an image -> a template: decode, detect, choose, check, align, embed."""
