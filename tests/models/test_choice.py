from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import cluster
from models.choice import LINKED, as_large_as, near_size, surest
from models.prospects import prospects
from models.tree import MergeTree

TREE = MergeTree(
    4, np.array([0, 2, 4]), np.array([1, 3, 5]), np.array([0.9, 0.6, 0.2]), np.array([0, 2, 3])
)
ONES = np.ones(4, np.int32)


class TestProspects:
    def test_of_one_cut_by_hand(self):
        """(0, 1) kept, (2, 3) and all four not: one pair of the 2.3 that are expected to match."""
        family = prospects(TREE, ONES)
        place = int(np.argmin(np.abs(family.lam - 0.75)))
        total = 0.9 + 0.6 + 4 * 0.2
        assert family.precision[place] == pytest.approx(0.9)
        assert family.recall[place] == pytest.approx(0.9 / total)
        assert family.f[place] == pytest.approx(2 * 0.9 / (1 + total))
        assert family.bcubed_precision[place] == pytest.approx((2 * 1.9 / 2 + 2) / 4)
        found = 2 * 1.9 / (1 + 0.9 + 0.4) + 2 * 1 / (1 + 0.6 + 0.4)
        assert family.bcubed_recall[place] == pytest.approx(found / 4)
        assert family.seen[place] == pytest.approx((4 + 1 + 1) / 4)
        assert family.mean_size[place] == pytest.approx(4 / 3)
        assert family.single[place] == pytest.approx(0.5)

    def test_copies_are_images_that_match(self):
        """A row of three images: three sure pairs, and a cluster of three when it is alone."""
        counts = np.array([3, 1, 0, 0], np.int32)
        family = prospects(TREE, counts)
        assert family.images == 4
        assert family.precision[-1] == 1
        assert family.seen[-1] == pytest.approx((9 + 1) / 4)

    @given(st.integers(0, 1_000))
    def test_finer_cuts_find_less(self, seed):
        """From coarse to fine recall and sizes never rise."""
        q = np.random.default_rng(seed).random(3)
        family = prospects(MergeTree(4, TREE.left, TREE.right, q, TREE.rounds), ONES)
        assert (np.diff(family.recall) <= 1e-12).all()
        assert (np.diff(family.seen) <= 1e-12).all()


class TestChoice:
    def test_the_surest_promises_most(self):
        """No cut of the family expects a larger F, where none has larger clusters than usual."""
        family = prospects(TREE, ONES)
        assert surest(family, 4.0).f == family.f.max()

    @pytest.mark.parametrize(("best", "other", "taken"), [(0.4, 0.2, 0.8), (0.99, 0.5, 0.2)])
    def test_large_clusters_need_a_sure_run(self, best, other, taken):
        """A doubtful run leaves the best cut for one of the usual size; a sure one keeps it."""
        family = replace(
            prospects(TREE, ONES),
            lam=np.array([0.2, 0.8]),
            f=np.array([best, other]),
            seen=np.array([400.0, 20.0]),
        )
        assert surest(family, 20.0).lam == taken
        assert surest(family, 400.0).lam == 0.2

    def test_unlikely_merges_need_a_told_size(self):
        """Where none is told none is made that is less likely than a bound, however much F all
        merges together promise; a told size may need it.
        """
        family = replace(
            prospects(TREE, ONES),
            lam=np.array([0.3, 0.4]),
            f=np.array([0.9, 0.5]),
            seen=np.array([20.0, 2.0]),
        )
        assert surest(family, 20.0, 0.375).lam == 0.4
        assert near_size(family, 20.0).lam == 0.3

    def test_a_size_is_met_as_nearly_as_can_be(self):
        """All apart, the likelier pair, all together."""
        family = prospects(TREE, ONES)
        for size in (1.0, 1.5, 4.0):
            place = int(np.flatnonzero(family.lam == as_large_as(family, size).lam)[0])
            assert family.seen[place] == pytest.approx(size)

    def test_a_told_size_draws_the_cut(self):
        """Towards small clusters or large ones, from what is expected to be best."""
        family = prospects(TREE, ONES)
        seen = [
            family.seen[int(np.flatnonzero(family.lam == choice.lam)[0])]
            for choice in (near_size(family, 1.0), surest(family, 4.0), near_size(family, 100.0))
        ]
        assert seen == sorted(seen)
        assert seen[0] < seen[-1]


class TestWhereLittleIsExpected:
    def test_linkage_says_how_large_groups_are(self, model):
        """And the result says so: random directions have no groups."""
        x = np.random.default_rng(0).standard_normal((200, 128))
        result = cluster(x, model=model)
        assert result.method == LINKED
        assert "average linkage" in result.reason

    def test_not_where_groups_are_clear(self, model, groups):
        """Nothing is asked."""
        result = cluster(groups(30, 20)[0], model=model)
        assert (result.method, result.reason) == ("hi-lander", "")

    def test_not_where_a_size_is_told(self, model):
        """What the caller says counts."""
        x = np.random.default_rng(0).standard_normal((200, 128))
        assert cluster(x, model=model, group_size=2).method == "hi-lander"
