from collections import Counter, defaultdict
from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest
from first_level import level, mean_p

from models import exact_knn
from models.asking import best_pairs
from models.conditions import conditions
from models.context import context_of
from models.contraction import super_nodes, write_features
from models.joining import turns
from models.judging import judge_graph
from models.kernels import columns
from models.kernels.levels import tie_hash
from models.levels import build_tree
from models.pair_features import PAIR_FEATURES, pair_features
from models.view import view_of


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


def plain_levels(edges, n, floor=0.03):
    """What `build_tree` does with `mean_p`, by the book: {union of rows: q} of each level."""
    members = {row: frozenset([row]) for row in range(n)}
    found = []
    while True:
        said = defaultdict(list)  # p of the edges between two clusters, each called by a row
        name = {row: lowest for lowest, rows in members.items() for row in rows}
        for (i, j), p in edges.items():
            if name[i] != name[j]:
                said[min(name[i], name[j]), max(name[i], name[j])].append(p)
        q = {pair: float(np.float32(sum(p)) / np.float32(len(p))) for pair, p in said.items()}
        best = {}
        for pair in sorted(q, key=lambda pair: q[pair] + 1e-7 * tie_hash(*pair)):
            best[pair[0]] = best[pair[1]] = pair  # the last one is the likeliest
        merging = [(a, b) for a, b in q if best[a] == best[b] == (a, b) and q[a, b] > floor]
        if not merging:
            return found
        found.append({members[a] | members[b]: q[a, b] for a, b in merging})
        for a, b in merging:
            members[a] |= members.pop(b)


def levels_of(tree):
    """{union of rows: q} of each level of a tree."""
    rows = [frozenset([row]) for row in range(tree.leaves)]
    for left, right in zip(tree.left, tree.right, strict=True):
        rows.append(rows[left] | rows[right])
    return [
        {rows[tree.leaves + m]: tree.probability[m] for m in range(made.start, made.stop)}
        for made in tree.levels()
    ]


@pytest.mark.parametrize("seed", range(8))
def test_levels_are_those_of_a_plain_implementation(seed):
    """Random graphs, some with many equal p, their rows in an order of their own."""
    rng = np.random.default_rng(seed)
    n, e = 80, 60 + 60 * seed
    ids = rng.permutation(n)
    p = rng.choice([1 / 64, 0.25, 0.5, 0.75], e) if seed % 2 else 0.02 + 0.98 * rng.random(e)
    pairs = [(i, j) for i, j in rng.integers(0, n, (e, 2)).tolist() if i != j]
    edges = {
        (min(pair), max(pair)): float(np.float32(v)) for pair, v in zip(pairs, p, strict=False)
    }
    expected = plain_levels(
        {tuple(sorted(ids[list(pair)].tolist())): v for pair, v in edges.items()}, n
    )
    actual = levels_of(build_tree(*level(edges, n, ids=ids), mean_p))
    assert [set(made) for made in actual] == [set(made) for made in expected]
    for one, two in zip(actual, expected, strict=True):
        assert one == pytest.approx(two, rel=1e-5)


def star(core=70, around=40):
    """Edges of a core that holds together, and of rows around it that are less near it, and to
    each other hardly near at all.
    """
    edges = {(i, j): 0.99 - 0.001 * (j - i) for i in range(core) for j in range(i + 1, core)}
    for place in range(around):
        row = core + place
        edges |= {(member, row): 0.9 - 0.001 * place for member in range(place % 7, core, 7)}
        if place:
            edges[row - 1, row] = 0.05
    return edges


class TestJoining:
    def test_many_join_a_large_cluster_at_one_level(self):
        """Forty rows whose best is one cluster of seventy take a few levels, not forty."""
        asked = []
        tree = build_tree(
            *level(star(), n=110), mean_p, observe=lambda _clusters, pairs, *_: asked.append(pairs)
        )
        before = build_tree(*level(star(around=0), n=110), mean_p)
        assert len(tree.left) == 109
        assert len(asked) - len(before.levels()) < 10
        assert set(levels_of(tree)[-1]) == {frozenset(range(110))}

    def test_each_turn_adds_one(self):
        """So that the tree can be cut between any two, the likeliest first."""
        made = levels_of(build_tree(*level(star(), n=110), mean_p))
        sizes = [max(map(len, parts)) for parts in made]
        core = sizes.index(70)
        assert sizes[core:] == list(range(70, 111))
        added = [max(parts, key=len) for parts in made[core:]]
        first = [int(*(new - old)) for old, new in pairwise(added)][:8]
        assert first == list(range(70, 78))

    def test_edges_between_those_that_join_are_within(self):
        """No edge is lost: after all merges the cluster holds every one."""
        clusters, pairs = level(star(), n=110)
        build_tree(clusters, pairs, mean_p)
        sums = clusters.sums[int(np.argmax(clusters.size))]
        assert sums[columns.SIZE] == 110
        assert sums[columns.INNER] == len(star())
        assert sums[columns.INNER_P] == pytest.approx(sum(star().values()), rel=1e-5)

    def test_no_more_join_than_there_is_room_for(self):
        """Of two large clusters each takes its likeliest, equals by row, and stops at its room."""
        made = turns(
            large=np.array([1, 5, 1, 1, 5]),
            q=np.array([0.5, 0.9, 0.7, 0.5, 0.8]),
            row=np.array([9, 8, 7, 6, 4]),
            size=np.array([2, 3, 1, 2, 3]),
            room=np.array([4, 3, 4, 4, 3]),
        )
        assert [turn.tolist() for turn in made] == [[2, 1], [3]]


class TestSums:
    def test_merging_adds_up_to_what_counting_gives(self):
        """After all merges the cluster holds every edge, its p, and every vector."""
        edges = {(0, 1): 0.9, (1, 2): 0.6, (2, 3): 0.7, (0, 2): 0.4}
        clusters, pairs = level(edges)
        total = clusters.total(np.arange(4)).sum(axis=0)
        build_tree(clusters, pairs, mean_p)
        root = int(np.argmax(clusters.size))
        sums = clusters.sums[root]
        assert sums[columns.SIZE] == 4
        assert sums[columns.INNER] == 4
        assert sums[columns.INNER_P] == pytest.approx(sum(edges.values()))
        assert sums[columns.DEGREE] == 8
        assert sums[columns.MASS] == pytest.approx(2 * sum(edges.values()))
        np.testing.assert_allclose(clusters.total(np.array([root]))[0], total, rtol=1e-5)
        assert sums[columns.TOTAL_SQUARE] == pytest.approx(float(total @ total), rel=1e-5)

    def test_pairs_that_meet_add_their_edges(self):
        """Once 0-1 merged, its two edges to 2 are one pair with two edges."""
        seen = []
        build_tree(
            *level({(0, 1): 0.9, (0, 2): 0.4, (1, 2): 0.6}, n=3),
            mean_p,
            observe=lambda _clusters, pairs, _best, _rows: seen.append(deepcopy(pairs)),
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
        pairs.ends = pairs.ends[:, ::-1]
        np.testing.assert_array_equal(pair_features(clusters, pairs), forward)
        assert forward.shape == (2, PAIR_FEATURES)

    def test_are_finite_for_degenerate_clusters(self):
        """Zero vectors and empty edges give numbers, not NaN."""
        clusters, pairs = level({(0, 1): 1.0, (2, 3): 0.02})
        clusters.vectors[:] = clusters.mean[:] = clusters.sums[:, 1:] = 0
        assert np.isfinite(pair_features(clusters, pairs)).all()


class TestKernels:
    def test_read_pairs_as_defined(self, groups, model):
        """At every level of a real hierarchy, all 41 numbers of every pair."""
        x, _ = groups(20, 10, spread=0.7)
        view = view_of(x, exact_knn(x, 12))
        context = context_of(view, np.arange(200), conditions("thing", None))
        judged = judge_graph(model.network, view, context)
        levels = 0

        def check(clusters, pairs, _best, _representative):
            nonlocal levels
            levels += 1
            actual = np.empty((len(pairs), PAIR_FEATURES), np.float32)
            write_features(clusters, pairs, 0, actual)
            expected = pair_features(clusters, pairs)
            np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)

        build_tree(*super_nodes(view, judged), mean_p, observe=check)
        assert levels > 5

    def test_unlikely_pairs_are_asked_last(self):
        """1-2 is asked when its ends have merged with better ones, and then still merges."""
        asked = []

        def score(clusters, pairs):
            asked.extend(map(tuple, pairs.ends.tolist()))
            return mean_p(clusters, pairs)

        tree = build_tree(*level({(0, 1): 0.9, (2, 3): 0.8, (1, 2): 0.1}), score)
        assert asked == [(0, 1), (2, 3), (0, 2)]
        assert len(tree.left) == 3

    def test_pairs_are_what_edges_between_clusters_sum_up_to(self):
        """After each level of a random graph, counted again from its edges."""
        rng = np.random.default_rng(0)
        ends = {(i, j) for i, j in rng.integers(0, 60, (300, 2)).tolist() if i < j}
        edges = {pair: 0.01 + float(p) for pair, p in zip(ends, rng.random(300), strict=False)}

        def check(_clusters, pairs, _best, representative):
            count, p = Counter(), Counter()
            for (i, j), value in edges.items():
                a, b = sorted((int(representative[i]), int(representative[j])))
                if a != b:
                    count[a, b] += 1
                    p[a, b] += value
            found = [tuple(ends) for ends in pairs.ends.tolist()]
            assert sorted(found) == sorted(count)
            assert pairs.count.tolist() == [count[ends] for ends in found]
            np.testing.assert_allclose(pairs.p, [p[ends] for ends in found], rtol=1e-5)

        build_tree(*level(edges, n=60), mean_p, observe=check)


def test_best_is_the_largest_of_a_clusters_pairs():
    """-1 for a cluster without any."""
    _, pairs = level({(0, 1): 0.9, (1, 2): 0.6})
    pairs.q[:] = pairs.p
    best, value = best_pairs(pairs, np.arange(4))
    assert best.tolist() == [0, 0, 1, -1]
    assert value.tolist() == pytest.approx([0.9, 0.9, 0.6, -1], abs=1e-6)


def test_tie_hashes_lie_in_the_unit_interval_and_differ():
    """No two of many pairs share one."""
    value = [tie_hash(a, b) for a in range(100) for b in range(100)]
    assert 0 <= min(value) < max(value) < 1
    assert len(set(value)) == len(value)
