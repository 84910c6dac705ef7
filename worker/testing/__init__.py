"""Fakes that behave as the real parts do, for tests without servers."""
