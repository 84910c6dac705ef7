"""Steps that block for long: what the worker owes to others meanwhile is done all the same.

They run on a thread of their own. The ingest thread waits for them, touches nothing that is theirs,
and calls again and again what keeps the leases and shows that the worker is alive.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from worker.clock import Clock

# How often something else is done, and how often it is looked whether something has ended.
_MEANWHILE_SECONDS = 0.5
_LOOK_SECONDS = 0.02

T = TypeVar("T")


class Blocking:
    """Waits for what blocks, and calls what is in the list `meanwhile`; owned by the ingest thread.

    What is in the list touches no collection but its lease. What it raises is raised once the step
    has ended.
    """

    def __init__(self, clock: Clock) -> None:
        self.meanwhile: list[Callable[[], object]] = []
        self._clock = clock
        self._since: float | None = None
        self._steps = ThreadPoolExecutor(1, "blocking")

    @property
    def seconds(self) -> float:
        """For how long the step that is under way has blocked; 0 where none is."""
        return 0.0 if self._since is None else self._clock.monotonic() - self._since

    def keep(self) -> None:
        """Call what is in the list once: between two steps."""
        for call in self.meanwhile:
            call()

    def run(self, step: Callable[[], T]) -> T:
        """What `step` returns or raises. It may use whatever the ingest thread owns, but neither
        the store nor this.
        """
        self._since = self._clock.monotonic()
        running = self._steps.submit(step)
        try:
            while not wait([running], _MEANWHILE_SECONDS).done:
                self.keep()
        finally:
            wait([running])
            self._since = None
        return running.result()

    def until(self, ended: Callable[[], bool]) -> None:
        """Wait for what runs elsewhere, until it has `ended`."""
        self._since = self._clock.monotonic()
        try:
            while not ended():
                self.keep()
                time.sleep(_LOOK_SECONDS)
        finally:
            self._since = None
