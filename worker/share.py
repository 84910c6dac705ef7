"""A share of the ingest thread's time, for what is done in slices beside everything else."""

from collections.abc import Callable

from worker.clock import Clock


class Share:
    """`ratio` of the time since the last call, `most_seconds` at once; one thread.

    A slice that took longer is made up for.
    """

    def __init__(self, clock: Clock, ratio: float, most_seconds: float) -> None:
        self._clock = clock
        self._ratio = ratio
        self._most_seconds = most_seconds
        self._ticked = clock.monotonic()
        self._left_seconds = 0.0

    def spend(self, slice_: Callable[[], bool]) -> None:
        """Call `slice_` until it returns True, which ends the work, or the time is used up."""
        started = self._clock.monotonic()
        earned = self._ratio * (started - self._ticked)
        self._ticked = started
        self._left_seconds = min(self._left_seconds + earned, self._most_seconds)
        if self._left_seconds <= 0:
            return
        until = started + self._left_seconds
        while not slice_() and self._clock.monotonic() < until:
            pass
        self._left_seconds -= self._clock.monotonic() - started
