"""When to recluster."""

from dataclasses import dataclass
from enum import StrEnum


class Trigger(StrEnum):
    """Why a run is due; a label of `shoal_recluster_triggers_total`."""

    FIRST = "first"
    IMAGES = "images"
    PERIOD = "period"
    DEMAND = "demand"


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """`period_seconds`: longest time that a change waits. `new_images`: how many may wait.

    A collection gets its first run with `first_images`, or `first_seconds` after it was opened
    if it has fewer: who uploads twenty photos wants to see groups now, not in an hour. Before
    it has `new_images` it also gets a run whenever it doubled: those are cheap. After the k-th
    failure in a row nothing runs for `backoff_seconds` * 2**(k-1), at most `max_backoff_seconds`.
    """

    period_seconds: float = 3_600.0
    new_images: int = 10_000
    first_images: int = 50
    first_seconds: float = 60.0
    backoff_seconds: float = 10.0
    max_backoff_seconds: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A collection at one moment: two equal marks but for `at` mean that nothing changed.

    `at` in seconds since 1970; `rows` of the vector log; `images` added and `erasures` done,
    ever: these only grow.
    """

    at: float
    images: int
    rows: int
    erasures: int


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """What `due` judges by.

    `present` is the collection now. `last` is how the view of the last run that ended found it
    (published or held), None before the first; `opened` is when waiting began without one.
    `failures` in a row since then, the last one at `failed_at`. `requested`: a person asked.
    """

    present: Mark
    opened: float
    last: Mark | None = None
    running: bool = False
    requested: bool = False
    failures: int = 0
    failed_at: float = 0.0


def due(state: ScheduleState, settings: ScheduleSettings, now: float) -> Trigger | None:
    """Why a run should start now (seconds since 1970), None if it should not.

    Never while one runs. A demand is met at once. Else not while backing off, and not if
    nothing changed. A pure function.
    """
    if state.requested and not state.running:
        return Trigger.DEMAND
    if state.running or not _changed(state) or _backs_off(state, settings, now):
        return None
    if state.last is None:
        enough = state.present.images >= settings.first_images
        longest = min(settings.first_seconds, settings.period_seconds)
        waited = _passed(state.opened, longest, now)
        return Trigger.FIRST if enough or waited else None
    if state.present.images - state.last.images >= _images_limit(state.last, settings):
        return Trigger.IMAGES
    return Trigger.PERIOD if _passed(state.last.at, settings.period_seconds, now) else None


def _images_limit(last: Mark, settings: ScheduleSettings) -> int:
    doubled = max(last.images, settings.first_images)
    return min(settings.new_images, doubled)


def _changed(state: ScheduleState) -> bool:
    present, last = state.present, state.last
    if last is None:
        return present.rows > 0
    return (present.images, present.rows, present.erasures) != (
        last.images,
        last.rows,
        last.erasures,
    )


def _backs_off(state: ScheduleState, settings: ScheduleSettings, now: float) -> bool:
    if state.failures == 0:
        return False
    # Beyond 2**30 the cap has long been reached; a greater power would overflow a float.
    wait = settings.backoff_seconds * 2 ** min(state.failures - 1, 30)
    return not _passed(state.failed_at, min(wait, settings.max_backoff_seconds), now)


def _passed(since: float, seconds: float, now: float) -> bool:
    """Also true if the clock was set back before `since`, which would else block for long."""
    return not since <= now < since + seconds
