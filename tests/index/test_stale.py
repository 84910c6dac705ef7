"""Which rows are searched again, and when all of them are looked at."""

import numpy as np
import pytest

from index.stale import Stale


@pytest.fixture
def stale():
    """Ten rows that were searched among 10, 20 ... 100."""
    stale = Stale()
    stale.resize(10)
    for row in range(10):
        stale.searched(np.array([row]), 10 * (row + 1))
    return stale


def take(stale, live, limit, present=None):
    everyone = np.ones(10, bool) if present is None else present
    taken = stale.take(everyone, live, limit)
    stale.searched(taken, live)
    return taken.tolist()


def test_the_oldest_first(stale):
    """Those that saw fewest rows, until none is left that has seen it grow by a tenth."""
    assert take(stale, 100, 4) == [0, 1, 2, 3]
    assert take(stale, 100, 4) == [4, 5, 6, 7]
    assert take(stale, 100, 4) == [8]
    assert take(stale, 100, 4) == []
    assert take(stale, 111, 20) == list(range(10))


def test_dead_and_fresh_rows_are_passed_over(stale):
    """Also where they died, or were searched, while they waited for their turn."""
    assert take(stale, 100, 2) == [0, 1]
    stale.searched(np.array([3]), 100)
    present = np.arange(10) != 2
    assert take(stale, 100, 2, present) == [4, 5]


def test_all_rows_are_looked_at_once_in_a_while(stale, monkeypatch):
    """Once for each queue, and not before the oldest row can be stale."""
    monkeypatch.setattr("index.stale.QUEUED_ROWS", 4)
    looks = []
    look = stale._look
    monkeypatch.setattr(stale, "_look", lambda *a: looks.append(1) or look(*a))
    assert [len(take(stale, 100, 2)) for _ in range(8)] == [2, 2, 2, 2, 1, 0, 0, 0]
    before = len(looks)
    assert [take(stale, live, 2) for live in (101, 105, 110)] == [[], [], []]
    assert len(looks) == before
    assert len(take(stale, 111, 20)) == 4


def test_rows_searched_among_fewer_are_due_earlier(stale):
    """After erasures a collection grows again from where it shrank to."""
    while take(stale, 100, 10):
        pass
    stale.searched(np.array([7]), 50)
    assert take(stale, 56, 10) == [7]
