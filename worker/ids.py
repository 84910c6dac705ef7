"""Opaque cluster ids that sort by the time they were made."""

import secrets

from worker.clock import Clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_DIGITS = 9  # 45 bits of milliseconds: until the year 3084
_RANDOM_DIGITS = 6  # 30 bits
_RANDOM_BITS = 5 * _RANDOM_DIGITS


class ClusterIds:
    """Gives out 16-character ids, each greater than the one before, also within a millisecond."""

    def __init__(self, clock: Clock, after: str | None = None) -> None:
        self._clock = clock
        self._last = _decode(after) if after else 0

    def next(self) -> str:
        """A new id."""
        fresh = int(self._clock.time() * 1000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        self._last = max(fresh, self._last + 1)
        return "c" + _encode(self._last)


def _encode(number: int) -> str:
    return "".join(
        _ALPHABET[number >> 5 * place & 31]
        for place in reversed(range(_TIME_DIGITS + _RANDOM_DIGITS))
    )


def _decode(text: str) -> int:
    number = 0
    for character in text.removeprefix("c"):
        number = number << 5 | _ALPHABET.index(character)
    return number
