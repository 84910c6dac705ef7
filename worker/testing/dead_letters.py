"""Dead letters in memory."""

from collections.abc import Sequence

from worker.dead_letters.base import DeadLetter
from worker.errors import SourceUnavailableError


class MemoryDeadLetters:
    """Keeps letters in the list `letters`; with `down` set it refuses as a lost broker does."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.down = False

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """See `DeadLetters.send`."""
        if self.down:
            raise SourceUnavailableError("dead letters: set to be down")
        self.letters.extend(letters)

    def close(self) -> None:
        """See `DeadLetters.close`."""
