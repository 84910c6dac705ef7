import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.cut import Cut, confidence, cut_at
from models.tree import MergeTree


def random_tree(leaves, seed):
    """A tree over some of `leaves`, one merge per level."""
    rng = np.random.default_rng(seed)
    roots, left, right = list(range(leaves)), [], []
    for merge in range(int(rng.integers(0, leaves))):
        a, b = rng.permutation(len(roots))[:2]
        left.append(roots[a])
        right.append(roots[b])
        roots = [node for i, node in enumerate(roots) if i not in {a, b}] + [leaves + merge]
    count = len(left)
    return MergeTree(
        leaves,
        np.array(left, np.int64),
        np.array(right, np.int64),
        rng.random(count),
        np.arange(count + 1),
    )


def antichains(tree):
    """Every `top` that keeps whole subtrees."""
    count = len(tree.left)
    for kept in itertools.product([False, True], repeat=count):
        inside = np.array(kept, np.bool_)
        children = [(tree.left[m], tree.right[m]) for m in np.flatnonzero(inside)]
        below = [int(c) - tree.leaves for pair in children for c in pair if c >= tree.leaves]
        if all(inside[m] for m in below):
            top = np.full(tree.leaves + count, -1, np.int64)
            top[tree.leaves :][inside] = 1
            yield inside, top


class TestCutAt:
    @given(st.integers(2, 7), st.integers(0, 10_000), st.floats(0.01, 0.99))
    def test_each_lambda_is_cut_optimally(self, leaves, seed, lam):
        """The kept merges maximise sum w (q - lambda) over all antichains."""
        tree = random_tree(leaves, seed)
        sizes = tree.sizes(np.ones(leaves, np.int32))
        gain = sizes[tree.left] * sizes[tree.right] * (tree.probability - lam)
        top = cut_at(tree, sizes, lam)
        best = max(gain[inside].sum() for inside, _ in antichains(tree))
        assert gain[top[leaves:] >= 0].sum() == pytest.approx(best)

    @given(st.integers(2, 8), st.integers(0, 10_000))
    def test_cuts_are_nested(self, leaves, seed):
        """A smaller lambda never separates what a larger one joined."""
        tree = random_tree(leaves, seed)
        sizes = tree.sizes(np.ones(leaves, np.int32))
        fine, coarse = (cut_at(tree, sizes, lam)[:leaves] for lam in (0.6, 0.2))
        for cluster in np.unique(fine):
            assert len(np.unique(coarse[fine == cluster])) == 1

    def test_likely_merges_stay_and_unlikely_ones_go(self):
        """(0, 1) and (2, 3) are kept, their union is not."""
        tree = MergeTree(
            4,
            np.array([0, 2, 4]),
            np.array([1, 3, 5]),
            np.array([0.9, 0.8, 0.1]),
            np.array([0, 2, 3]),
        )
        top = cut_at(tree, tree.sizes(np.ones(4, np.int32)), 0.5)
        alive = np.ones(4, np.bool_)
        assert Cut(top, 0.5).labels(alive).tolist() == [0, 0, 1, 1]
        np.testing.assert_allclose(
            confidence(tree, np.ones(4, np.int32), top), [0.9, 0.9, 0.8, 0.8], rtol=1e-6
        )


class TestConfidence:
    def test_a_row_alone_is_as_sure_as_the_refused_merge_was_unlikely(self):
        """1 - q of the merge that was undone; 1 where none was thought of."""
        tree = MergeTree(3, np.array([0]), np.array([1]), np.array([0.1]), np.array([0, 1]))
        top = cut_at(tree, tree.sizes(np.ones(3, np.int32)), 0.5)
        actual = confidence(tree, np.ones(3, np.int32), top)
        np.testing.assert_allclose(actual, [0.9, 0.9, 1.0], rtol=1e-6)

    def test_late_company_counts_by_its_size(self):
        """Row 2 joined a pair: its pairs match with .6, the others' mean is (.9 + .6) / 2."""
        tree = MergeTree(
            3, np.array([0, 3]), np.array([1, 2]), np.array([0.9, 0.6]), np.array([0, 1, 2])
        )
        top = cut_at(tree, tree.sizes(np.ones(3, np.int32)), 0.0)
        actual = confidence(tree, np.ones(3, np.int32), top)
        np.testing.assert_allclose(actual, [0.75, 0.75, 0.6], rtol=1e-6)

    def test_copies_are_certain_company(self):
        """A row of three copies that joins one other: (2 x 1 + .5) / 3."""
        tree = MergeTree(2, np.array([0]), np.array([1]), np.array([0.5]), np.array([0, 1]))
        counts = np.array([3, 1], np.int32)
        top = cut_at(tree, tree.sizes(counts), 0.0)
        np.testing.assert_allclose(confidence(tree, counts, top), [2.5 / 3, 0.5], rtol=1e-6)
