import numpy as np
import pytest

from models.levels import best_of, build_tree, tie_hash
from models.pair_features import PAIR_FEATURES, pair_features
from models.supernodes import first_level


def level(edges, n=4, d=2):
    """Clusters and pairs of rows 0..n-1 joined by `edges` {(i, j): p}."""
    k = n - 1
    neighbours = np.full((n, k), -1, np.int32)
    probability = np.zeros((n, k), np.float32)
    for (i, j), p in edges.items():
        for one, other in ((i, j), (j, i)):
            place = int((neighbours[one] >= 0).sum())
            neighbours[one, place], probability[one, place] = other, p
    centred = np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)
    r = np.where(neighbours >= 0, 0.5, 0).astype(np.float32)
    return first_level(neighbours, probability, r, centred, np.full(n, 0.5), np.full(n, 0.5))


def mean_p(_clusters, pairs):
    """A score: mean p of the cross edges."""
    return pairs.p / pairs.count


class TestMutualBest:
    def test_two_pairs_merge_at_once_and_their_union_next(self):
        """0-1 and 2-3 are one level, the weak 1-2 the next."""
        tree = build_tree(*level({(0, 1): 0.9, (2, 3): 0.8, (1, 2): 0.2}), mean_p)
        assert tree.rounds.tolist() == [0, 2, 3]
        assert sorted(zip(tree.left[:2].tolist(), tree.right[:2].tolist(), strict=True)) == [
            (0, 1),
            (2, 3),
        ]
        np.testing.assert_allclose(sorted(tree.probability), [0.2, 0.8, 0.9], rtol=1e-6)

    def test_a_chain_merges_from_its_strongest_link(self):
        """0-1 is nobody's best but theirs; 1-2 waits for the next level."""
        tree = build_tree(*level({(0, 1): 0.9, (1, 2): 0.8, (2, 3): 0.7}), mean_p)
        assert (tree.left[0], tree.right[0]) == (0, 1)
        assert len(tree.left) == 3

    def test_nothing_below_the_floor_merges(self):
        """Unlikely pairs are no part of the tree."""
        tree = build_tree(*level({(0, 1): 0.9, (2, 3): 0.02}), mean_p, floor=0.03)
        assert len(tree.left) == 1

    def test_ties_are_broken_and_the_same_every_time(self):
        """Four rows all equally near each other become one cluster, twice the same way."""
        edges = {(i, j): 0.5 for i in range(4) for j in range(i + 1, 4)}
        one, two = (build_tree(*level(edges), mean_p) for _ in range(2))
        assert len(one.left) == 3
        np.testing.assert_array_equal(one.left, two.left)

    def test_no_edges_no_tree(self):
        """Rows without neighbours stay alone."""
        tree = build_tree(*level({}), mean_p)
        assert tree.leaves == 4
        assert tree.levels() == []


class TestSums:
    def test_merging_adds_up_to_what_counting_gives(self):
        """After all merges the cluster holds every edge, its p, and every vector."""
        edges = {(0, 1): 0.9, (1, 2): 0.6, (2, 3): 0.7, (0, 2): 0.4}
        clusters, pairs = level(edges)
        total = clusters.total.sum(axis=0)
        build_tree(clusters, pairs, mean_p)
        root = int(np.argmax(clusters.size))
        assert clusters.size[root] == 4
        assert clusters.inner[root] == 4
        assert clusters.inner_p[root] == pytest.approx(sum(edges.values()))
        assert clusters.degree[root] == 8
        assert clusters.mass[root] == pytest.approx(2 * sum(edges.values()))
        np.testing.assert_allclose(clusters.total[root], total, rtol=1e-5)
        assert clusters.total_square[root] == pytest.approx(float(total @ total), rel=1e-5)

    def test_pairs_that_meet_add_their_edges(self):
        """Once 0-1 merged, its two edges to 2 are one pair with two edges."""
        seen = []
        build_tree(
            *level({(0, 1): 0.9, (0, 2): 0.4, (1, 2): 0.6}, n=3),
            mean_p,
            observe=lambda _clusters, pairs, _best, _rows: seen.append(pairs),
        )
        assert seen[1].count.tolist() == [2]
        assert seen[1].p.tolist() == pytest.approx([1.0])
        assert seen[1].p_max.tolist() == pytest.approx([0.6])


class TestPairFeatures:
    def test_do_not_depend_on_which_end_is_which(self):
        """The smaller cluster comes first, however the pair is stored."""
        clusters, pairs = level({(0, 1): 0.9, (1, 2): 0.6})
        clusters.size[1] = 3
        forward = pair_features(clusters, pairs)
        pairs.a, pairs.b = pairs.b, pairs.a
        np.testing.assert_array_equal(pair_features(clusters, pairs), forward)
        assert forward.shape == (2, PAIR_FEATURES)

    def test_are_finite_for_degenerate_clusters(self):
        """Zero vectors and empty edges give numbers, not NaN."""
        clusters, pairs = level({(0, 1): 1.0, (2, 3): 0.02})
        for column in ("total", "square", "total_square", "norm", "density", "coherence"):
            getattr(clusters, column)[:] = 0
        assert np.isfinite(pair_features(clusters, pairs)).all()


def test_best_is_the_largest_of_a_clusters_pairs():
    """-1 for a cluster without any."""
    _, pairs = level({(0, 1): 0.9, (1, 2): 0.6})
    assert best_of(pairs.p, pairs, 4).tolist() == pytest.approx([0.9, 0.9, 0.6, -1])


def test_tie_hashes_lie_in_the_unit_interval_and_differ():
    """No two of many pairs share one."""
    a, b = (grid.ravel().astype(np.int64) for grid in np.meshgrid(np.arange(300), np.arange(300)))
    value = tie_hash(a, b)
    assert 0 <= value.min() < value.max() < 1
    assert len(np.unique(value)) == len(value)
