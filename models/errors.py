"""The exception tree of the models.

ModelError
├── BadInputError   an argument cannot be clustered, trained on or evaluated (also a ValueError)
└── WeightsError    a weights folder is missing, damaged, of another format or not usable
"""


class ModelError(Exception):
    """Base of everything that `models` raises on purpose."""


class BadInputError(ModelError, ValueError):
    """An argument cannot be used; the message names it, its value and what is allowed."""


class WeightsError(ModelError):
    """Weights cannot be loaded, or were never good enough to be used."""
