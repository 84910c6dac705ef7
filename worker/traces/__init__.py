"""Searches for what is left of an image that was erased."""
