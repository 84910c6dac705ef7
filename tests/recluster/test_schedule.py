from dataclasses import replace

import pytest

from worker.recluster.schedule import Mark, ScheduleSettings, ScheduleState, Trigger, due

SETTINGS = ScheduleSettings(
    period_seconds=1_000,
    new_images=500,
    first_images=50,
    backoff_seconds=10.0,
    max_backoff_seconds=60,
)
T0 = 1_000_000.0


def mark(images, at=T0, erasures=0):
    return Mark(at=at, images=images, rows=images, erasures=erasures)


def fresh(images, **changes):
    return ScheduleState(present=mark(images), opened=T0, **changes)


def after(last, images, erasures=0, **changes):
    present = mark(images, erasures=erasures)
    return ScheduleState(present=present, opened=T0, last=mark(last), **changes)


@pytest.mark.parametrize(
    ("state", "waited", "expected"),
    [
        (fresh(0), 0, None),
        (fresh(0), 5_000, None),
        (fresh(49), 59, None),
        (fresh(49), 60, Trigger.FIRST),
        (fresh(1), 60, Trigger.FIRST),
        (fresh(50), 0, Trigger.FIRST),
        (after(50, 50), 5_000, None),
        (after(50, 99), 999, None),
        (after(50, 99), 1_000, Trigger.PERIOD),
        (after(50, 100), 0, Trigger.IMAGES),
        (after(3, 40), 0, None),
        (after(3, 53), 0, Trigger.IMAGES),
        (after(10_000, 10_499), 0, None),
        (after(10_000, 10_500), 0, Trigger.IMAGES),
        (after(10_000, 10_000, erasures=1), 999, None),
        (after(10_000, 10_000, erasures=1), 1_000, Trigger.PERIOD),
        (after(50, 50, requested=True), 0, Trigger.DEMAND),
        (fresh(0, requested=True), 0, Trigger.DEMAND),
        (after(50, 5_000, running=True), 5_000, None),
        (after(50, 5_000, running=True, requested=True), 5_000, None),
    ],
)
def test_table(state, waited, expected):
    """Period, number of images, demand; nothing without a change nor while one runs."""
    assert due(state, SETTINGS, T0 + waited) == expected


def test_a_short_period_holds_for_the_first_run_too():
    """A minute is the longest wait, not the shortest."""
    assert due(fresh(1), replace(SETTINGS, period_seconds=5), T0 + 5) is Trigger.FIRST


@pytest.mark.parametrize(
    ("failures", "wait"), [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60), (10_000, 60)]
)
def test_failures_back_off(failures, wait):
    """Twice as long after each failure in a row, up to a limit."""
    state = after(50, 5_000, failures=failures, failed_at=T0)
    assert due(state, SETTINGS, T0 + wait - 0.1) is None
    assert due(state, SETTINGS, T0 + wait) is Trigger.IMAGES


def test_a_demand_does_not_wait_for_the_back_off():
    """A person who asks after a repair is served at once."""
    state = after(50, 5_000, failures=9, failed_at=T0, requested=True)
    assert due(state, SETTINGS, T0) is Trigger.DEMAND


def test_a_clock_that_was_set_back_blocks_nothing():
    """The last run lies in the future; the next does not wait for that day."""
    state = after(50, 51)
    assert due(state, SETTINGS, T0 - 1e6) is Trigger.PERIOD
    assert due(replace(state, failures=1, failed_at=T0), SETTINGS, T0 - 1e6) is Trigger.PERIOD


def test_a_flood_is_reclustered_ever_more_rarely_until_the_limit():
    """While images pour in: at 50, 100, 200, 400, 800, then every 500."""
    last, runs = None, []
    for images in range(0, 3_001, 10):
        if due(replace(fresh(images), last=last), SETTINGS, T0 + 1):
            last = mark(images)
            runs.append(images)
    assert runs == [50, 100, 200, 400, 800, 1_300, 1_800, 2_300, 2_800]
