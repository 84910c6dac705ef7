import pytest

from worker.dead_letters.base import DeadLetter
from worker.dead_letters.no_letters import NoDeadLetters
from worker.errors import Reason
from worker.records import RawRecord
from worker.sources.no_source import NoSource


def test_nothing_comes():
    """It is read to its end at once, whatever positions are known of other sources."""
    source = NoSource()
    source.open({"images/0": 7})
    source.pause()
    source.resume()
    source.commit({"images/0": 7})
    assert source.poll(10, 60.0) == []
    assert (source.exhausted, source.lag(), source.lost_records, source.origin) == (True, {}, 0, "")
    source.close()


def test_no_letter_is_lost():
    """A letter beside a source of nothing is a defect, not something to forget."""
    letters = NoDeadLetters()
    letters.send([])
    raw = RawRecord("images/0", 0, None, None, (), None)
    with pytest.raises(RuntimeError, match="1 dead letters"):
        letters.send([DeadLetter(raw, Reason.NOT_JSON, "")])
    letters.close()
