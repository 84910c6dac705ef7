import pytest

from worker.dead_letters.limits import DeadLetterLimits, LimitSettings
from worker.errors import BadStreamError, Reason, SettingsError


def limits(**settings):
    return DeadLetterLimits(LimitSettings(**settings))


def test_too_many_in_a_row_stop_the_worker():
    """The last one borne is the one before the limit; the error counts by reason."""
    some = limits(max_consecutive=5)
    for _ in range(3):
        some.bad(Reason.NOT_JSON)
    some.bad(Reason.ZERO_VECTOR)
    with pytest.raises(BadStreamError, match=r"5 records in a row .*not_json: 4, zero_vector: 1"):
        some.bad(Reason.NOT_JSON)


def test_a_good_record_ends_the_row():
    """Only bad ones without a good one between count as a row."""
    some = limits(max_consecutive=3, max_ratio=1)
    for _ in range(50):
        some.bad(Reason.NOT_JSON)
        some.bad(Reason.NOT_JSON)
        some.good()


def test_too_large_a_share_stops_the_worker():
    """More than the ratio of the window is too much, even if never in a row."""
    some = limits(max_ratio=0.5, min_records=10, window=20, max_consecutive=100)
    for _ in range(30):
        some.good()
        some.bad(Reason.BAD_FIELD)
    with pytest.raises(BadStreamError, match=r"11 of the last 20 .*bad_field: 11.* 50%"):
        some.bad(Reason.BAD_FIELD)


def test_few_records_prove_nothing():
    """Below `min_records` the share is not looked at."""
    some = limits(max_ratio=0.1, min_records=10)
    for _ in range(9):
        some.bad(Reason.BAD_FIELD)
    with pytest.raises(BadStreamError, match="10 of the last 10"):
        some.bad(Reason.BAD_FIELD)


def test_old_records_are_forgotten():
    """The share is that of the window, not of all time."""
    some = limits(max_ratio=0.5, min_records=4, window=4)
    some.bad(Reason.NOT_JSON)
    some.bad(Reason.NOT_JSON)
    for _ in range(4):
        some.good()
    some.bad(Reason.ZERO_VECTOR)
    some.bad(Reason.ZERO_VECTOR)
    with pytest.raises(BadStreamError, match=r"\(zero_vector: 3\)"):
        some.bad(Reason.ZERO_VECTOR)


@pytest.mark.parametrize("settings", [{"max_ratio": 0}, {"max_ratio": 1.5}, {"max_consecutive": 0}])
def test_limits_that_cannot_work_are_refused(settings):
    """The error names the setting."""
    with pytest.raises(SettingsError, match="bad_"):
        LimitSettings(**settings)
