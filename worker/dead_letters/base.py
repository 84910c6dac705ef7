"""The interface of the dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.errors import Reason
from worker.records import RawRecord


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused record with the reason; `raw` holds partition, offset and the original bytes."""

    raw: RawRecord
    reason: Reason
    detail: str


class DeadLetters(Protocol):
    """Keeps refused records for a person to look at."""

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Keep `letters` durably; blocks until they are.

        Raises `SourceUnavailableError` when they cannot be kept now: the caller keeps its
        position and tries again, so a letter may be kept twice but never lost.
        """

    def close(self) -> None:
        """Release every connection."""
