"""When bad records are too many to go on: most likely the producer was deployed broken."""

from collections import Counter, deque
from dataclasses import dataclass

from worker.errors import BadStreamError, Reason, SettingsError


@dataclass(frozen=True)
class LimitSettings:
    """How many bad records are borne.

    `max_consecutive` in a row, or a share of `max_ratio` of the last `window` records once
    `min_records` were seen, is too much.
    """

    max_ratio: float = 0.5
    max_consecutive: int = 100
    window: int = 1_000
    min_records: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.max_ratio <= 1:
            raise SettingsError(f"bad_ratio: {self.max_ratio} must be above 0 and at most 1")
        if self.max_consecutive < 1:
            raise SettingsError(f"bad_consecutive: {self.max_consecutive} must be at least 1")


class DeadLetterLimits:
    """Counts good and bad records as they come.

    Ask it about each record before dead letters are sent, so that a broken stream stops the
    worker instead of draining into the dead letters.
    """

    def __init__(self, settings: LimitSettings | None = None) -> None:
        self._settings = settings or LimitSettings()
        self._window: deque[Reason | None] = deque()
        self._bad: Counter[Reason] = Counter()
        self._consecutive = 0

    def good(self) -> None:
        """A record was taken."""
        self._consecutive = 0
        self._remember(None)

    def bad(self, reason: Reason) -> None:
        """A record was refused. Raises `BadStreamError` if that is one too many."""
        self._consecutive += 1
        self._remember(reason)
        self._bad[reason] += 1
        settings, seen, bad = self._settings, len(self._window), self._bad.total()
        if self._consecutive >= settings.max_consecutive:
            raise BadStreamError(
                f"{self._consecutive} records in a row were refused ({self._reasons()}); "
                f"bad_consecutive allows fewer than {settings.max_consecutive}"
            )
        if seen >= settings.min_records and bad > settings.max_ratio * seen:
            raise BadStreamError(
                f"{bad} of the last {seen} records were refused ({self._reasons()}); "
                f"bad_ratio allows {settings.max_ratio:.0%}"
            )

    def _remember(self, outcome: Reason | None) -> None:
        self._window.append(outcome)
        if len(self._window) > self._settings.window:
            oldest = self._window.popleft()
            if oldest is not None:
                self._bad[oldest] -= 1

    def _reasons(self) -> str:
        return ", ".join(f"{reason}: {count}" for reason, count in self._bad.most_common() if count)
