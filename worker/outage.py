"""The disk does not take what is written: what is doubtful is closed, and opened again later."""

import os
from pathlib import Path

import structlog

from index import error_text, is_disk_error
from worker.collection import Collection
from worker.collections import Collections
from worker.lock import DirectoryLock
from worker.metrics import Metrics
from worker.pause import Cause, Pause

log = structlog.get_logger()

# Between two attempts: at first, and at most.
_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 30.0

# Room that there must be before anything is tried again: a batch and its place in the catalog.
_PROBE_BYTES = 2**20

_PROBE = ".probe"


class Outage:
    """The time from a write that the disk did not take until all of them are taken again.

    Owned by the ingest thread.
    """

    def __init__(
        self, collections: Collections, pause: Pause, lock: DirectoryLock, metrics: Metrics
    ) -> None:
        self._collections = collections
        self._pause = pause
        self._lock = lock
        self._metrics = metrics
        self._seconds = 0.0

    def explains(self, error: BaseException) -> bool:
        """Whether the disk did not take or give something, or something is not there because the
        disk is not.
        """
        if not isinstance(error, FileNotFoundError):
            return is_disk_error(error)
        try:
            self._lock.check()
        except OSError:
            return True
        return False

    def note(self, error: BaseException) -> float:
        """The disk did not take something: pause reading. How long to wait now, in seconds."""
        self._metrics.disk_errors.inc()
        why = error_text(error)
        if self._pause.hold(Cause.DISK, f"reading is paused: the disk fails: {why}"):
            log.error("the disk fails", error=why)
        self._collections.suspend_doubtful()
        self._seconds = min(max(2 * self._seconds, _FIRST_SECONDS), _LONGEST_SECONDS)
        return self._seconds

    def try_again(self) -> list[Collection]:
        """Open again what was closed, in an outage; the collections. Raises as the disk does, and
        at any time where another directory is in the place of the data directory.
        """
        self._lock.check()
        if not self._seconds:
            return []
        self._collections.suspend_doubtful()
        _probe(self._lock.directory)
        return self._collections.reopen()

    def end(self) -> None:
        """What failed has been done: read on."""
        self._seconds = 0.0
        if self._pause.let_go(Cause.DISK):
            log.info("the disk works again")


def _probe(directory: Path) -> None:
    """Write a file, wait until it is on the disk, and remove it."""
    path = directory / _PROBE
    try:
        with path.open("wb") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)
