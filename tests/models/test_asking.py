"""Which pairs the network is asked, and that the others would change nothing."""

import numpy as np
import pytest
from counting import Counting
from first_level import level, mean_p
from sklearn.metrics import adjusted_rand_score as rand_index

from models import exact_knn, load_model
from models.asking import DRIFT, RISE
from models.conditions import conditions
from models.context import context_of
from models.contraction import pair_score, super_nodes
from models.cut import Cut, cut_at
from models.judging import judge_graph
from models.levels import build_tree
from models.view import view_of


def merges(tree):
    """What merged with what, level by level, and how likely that was."""
    return tree.rounds.tolist(), tree.left.tolist(), tree.right.tolist(), tree.probability.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_pairs_that_are_not_asked_would_change_nothing(seed):
    """Random graphs, some with clusters so large that others join them."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 600))
    hubs = rng.integers(0, 3, (4 * n, 1)) if seed % 2 else rng.integers(0, n, (4 * n, 1))
    ends = np.concatenate((hubs, rng.integers(0, n, (4 * n, 1))), axis=1)
    ends = np.unique(np.sort(ends[ends[:, 0] != ends[:, 1]], axis=1), axis=0)
    edges = {(int(a), int(b)): float(rng.random()) for a, b in ends}
    every, few = Counting(mean_p), Counting(mean_p)
    expected = build_tree(*level(edges, n=n), every, rise=None)
    assert merges(build_tree(*level(edges, n=n), few, rise=(0.0, 0.0))) == merges(expected)
    assert few.asked < every.asked


@pytest.mark.parametrize(("spread", "share"), [(0.7, 1), (1.2, 2 / 3)])
def test_questions_are_spared(groups, spread, share):
    """Above all where groups are blurred; cuts are those that asking every pair gives."""
    x, _ = groups(40, 20, spread=spread)
    network = load_model(device="cpu").network
    view = view_of(x, exact_knn(x))
    context = context_of(view, np.arange(len(x)), conditions("thing", None))
    answers = judge_graph(network, view, context)
    every, few = (Counting(pair_score(network, context)) for _ in range(2))
    expected = build_tree(*super_nodes(view, answers), every, rise=None)
    actual = build_tree(*super_nodes(view, answers), few, rise=(RISE, DRIFT))
    assert few.asked < share * every.asked
    sizes = np.ones(len(x), np.int32)
    for lam in (0.1, 0.3, 0.5, 0.7):
        one, other = (
            Cut(cut_at(tree, tree.sizes(sizes), lam), lam).labels(sizes > 0)
            for tree in (actual, expected)
        )
        assert rand_index(one, other) > 0.99
