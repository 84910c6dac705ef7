from worker.dead_letters.base import DeadLetter
from worker.errors import Reason
from worker.records import RawRecord
from worker.refusals import refusals


def letter(offset, key, reason=Reason.NOT_JSON):
    return DeadLetter(RawRecord("images/0", offset, key, b"{"), reason, "why")


def test_a_batch_is_one_line():
    """It counts by reason, and names the first: where they are, their keys, and what is wrong."""
    letters = [letter(7, b"photo-7"), letter(8, None, Reason.MISSING_ID), letter(9, b"\xff")]
    fields = refusals([*letters, *(letter(offset, b"x") for offset in range(10, 1_000))])
    assert fields["count"] == 993
    assert fields["reasons"] == {"not_json": 992, "missing_id": 1}
    assert len(fields["first"]) == 5
    assert fields["first"][0] == {
        "partition": "images/0",
        "offset": 7,
        "key": "photo-7",
        "reason": "not_json",
        "detail": "why",
    }
    assert [named["key"] for named in fields["first"]] == ["photo-7", None, "\ufffd", "x", "x"]
