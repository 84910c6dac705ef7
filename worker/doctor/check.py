"""What one look at a set-up found."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """WARN: it works, and somebody should know. MEND: it does not work, or will lose something."""

    OK = "ok"
    WARN = "warn"
    MEND = "mend"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found, and what to do about it or to know of it."""

    part: str
    state: State
    found: str
    advice: str = ""


def ok(part: str, found: str, advice: str = "") -> Check:
    """It will do."""
    return Check(part, State.OK, found, advice)


def warn(part: str, found: str, advice: str) -> Check:
    """It will do for now."""
    return Check(part, State.WARN, found, advice)


def mend(part: str, found: str, advice: str) -> Check:
    """It will not do."""
    return Check(part, State.MEND, found, advice)


def clock(part: str, seconds: float) -> Check:
    """Another clock is so many seconds ahead of this machine's."""
    found = f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this machine"
    if abs(seconds) < _CLOCK_SECONDS:
        return ok(part, f"within {_CLOCK_SECONDS:g} s")
    advice = "synchronise the clocks (NTP): times in metrics, events and cluster ids are wrong"
    return (
        mend(part, found, advice)
        if abs(seconds) > _CLOCK_WRONG_SECONDS
        else warn(part, found, advice)
    )


# Beyond the first figures shift; beyond the second ids and deadlines of erasures are wrong.
_CLOCK_SECONDS = 2.0
_CLOCK_WRONG_SECONDS = 60.0
