"""A clock that stands still until it is told to go on."""


class ManualClock:
    """The `Clock` whose time only `advance` and `sleep` move; nothing ever waits."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now

    def time(self) -> float:
        """Seconds since 1970."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move on by `seconds` at once."""
        self._now += seconds

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`."""
        self._now += seconds
