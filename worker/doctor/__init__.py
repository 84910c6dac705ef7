"""Checks of a set-up: what is there, whether it will do, and what to mend."""
