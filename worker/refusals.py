"""The one log line of a batch for all records of it that were refused."""

from collections import Counter
from collections.abc import Sequence

from worker.dead_letters.base import DeadLetter

# Records that the line names: a producer most often does the same wrong to all of them.
_NAMED = 5

_KEY_CHARACTERS = 256


def refusals(letters: Sequence[DeadLetter]) -> dict[str, object]:
    """The fields of the line: how many, how many for each reason, and which the first were."""
    return {
        "count": len(letters),
        "reasons": dict(Counter(str(letter.reason) for letter in letters)),
        "first": [_named(letter) for letter in letters[:_NAMED]],
    }


def _named(letter: DeadLetter) -> dict[str, object]:
    raw = letter.raw
    return {
        "partition": raw.partition,
        "offset": raw.offset,
        "key": None if raw.key is None else raw.key.decode(errors="replace")[:_KEY_CHARACTERS],
        "reason": str(letter.reason),
        "detail": letter.detail,
    }
