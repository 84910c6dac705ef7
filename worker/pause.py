"""Reading pauses while there is a reason to, and goes on by itself."""

from enum import StrEnum

from worker.metrics import Metrics
from worker.sources.base import Source


class Cause(StrEnum):
    """What reading may wait for."""

    REDIS = "redis"
    DISK = "disk"
    LETTERS = "dead letters"


class Pause:
    """The source is paused while anything holds it. Owned by one thread; any may ask `reason`."""

    def __init__(self, source: Source, metrics: Metrics) -> None:
        self._source = source
        self._metrics = metrics
        self._reasons: dict[Cause, str] = {}
        self._open = False

    def source_opened(self) -> None:
        """From now on there is a source to be paused."""
        self._open = True
        if self._reasons:
            self._source.pause()

    def hold(self, cause: Cause, reason: str) -> bool:
        """Pause reading for `cause`, for a `reason` in words; False if it held already."""
        news = cause not in self._reasons
        if self._open and not self._reasons:
            self._source.pause()
        self._reasons = {**self._reasons, cause: reason}
        self._metrics.paused.set(1)
        return news

    def let_go(self, cause: Cause) -> bool:
        """`cause` holds no longer; reading goes on if nothing else does. False if it did not."""
        if cause not in self._reasons:
            return False
        self._reasons = {c: reason for c, reason in self._reasons.items() if c != cause}
        if not self._reasons:
            self._metrics.paused.set(0)
            if self._open:
                self._source.resume()
        return True

    def keep_alive(self) -> None:
        """Poll the paused source, which returns nothing, so that it stays connected."""
        if self._open:
            self._source.poll(1, 0.0)

    @property
    def reason(self) -> str | None:
        """Why reading is paused; None if it is not."""
        return next(iter(self._reasons.values()), None)
