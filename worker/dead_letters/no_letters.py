"""The dead letters of a worker that reads nothing."""

from collections.abc import Sequence

from worker.dead_letters.base import DeadLetter


class NoDeadLetters:
    """`DeadLetters` beside a `NoSource`: no record comes, so none can be refused."""

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Raise `RuntimeError` rather than lose a letter that there should not be."""
        if letters:
            raise RuntimeError(f"{len(letters)} dead letters without a source")

    def close(self) -> None:
        """See `DeadLetters.close`."""
