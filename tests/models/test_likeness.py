"""How alike the sides of merges are, and what that adds to what the networks say of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models import exact_knn
from models.conditions import conditions
from models.likeness import merge_cosines, tensor_cosines, weighed
from models.tree import MergeTree
from models.view import view_of


@pytest.fixture
def merges():
    """A function: `n` rows in `d` dimensions, merged at random until few are left, and their
    mean. Some rows are in no merge.
    """

    def made(n, d=8, seed=0):
        rng = np.random.default_rng(seed)
        unit = rng.standard_normal((n, d)) + 0.5
        unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
        nodes, left, right, rounds = list(range(n)), [], [], [0]
        while len(nodes) > n // 10 + 1:
            pairs = rng.permutation(nodes)[: len(nodes) // 2 * 2].reshape(-1, 2)
            pairs = pairs[: max(len(pairs) * 2 // 3, 1)]
            fresh = range(n + len(left), n + len(left) + len(pairs))
            left += pairs[:, 0].tolist()
            right += pairs[:, 1].tolist()
            rounds.append(len(left))
            nodes = sorted(set(nodes) - set(pairs.ravel().tolist())) + list(fresh)
        tree = MergeTree(
            n, np.array(left), np.array(right), rng.random(len(left)), np.array(rounds)
        )
        return tree, view_of(unit, exact_knn(unit, 3)), unit.mean(axis=0)

    return made


def context_with(mean, word="thing"):
    return SimpleNamespace(mean=mean, conditions=conditions(word, None))


def members(tree, node):
    if node < tree.leaves:
        return [node]
    merge = node - tree.leaves
    return members(tree, tree.left[merge]) + members(tree, tree.right[merge])


@pytest.mark.parametrize("n", [2, 3, 40, 400])
def test_is_the_mean_over_all_pairs(merges, n):
    """Of each row of one side with each of the other, as cosines around the mean."""
    tree, view, mean = merges(n)
    centred = view.vectors.numpy() - mean
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    cosine = centred @ centred.T
    expected = [
        cosine[np.ix_(members(tree, a), members(tree, b))].mean()
        for a, b in zip(tree.left, tree.right, strict=True)
    ]
    assert merge_cosines(tree, view, mean) == pytest.approx(expected, abs=1e-5)


def test_the_same_on_tensors(merges):
    """What a GPU says of them is what the kernels say."""
    tree, view, mean = merges(500, seed=1)
    on_tensors = tensor_cosines(tree, torch.from_numpy(view.vectors.numpy()), mean)
    assert on_tensors == pytest.approx(merge_cosines(tree, view, mean), abs=1e-5)


def test_unlike_sides_count_against_a_merge(merges):
    """Of merges that the networks find equally likely the more alike one is likelier."""
    tree, view, mean = merges(300)
    even = weighed(
        MergeTree(tree.leaves, tree.left, tree.right, np.full(len(tree.left), 0.5), tree.rounds),
        view,
        context_with(mean),
    ).probability
    cosine = merge_cosines(tree, view, mean)
    assert np.all(np.diff(even[np.argsort(cosine)]) >= 0)
    assert np.all((even > 0.5) == (cosine > 0.55))


def test_kinds_need_not_look_alike(merges):
    """Of them the networks alone are heard, if not on their every word."""
    tree, view, mean = merges(100)
    alone = weighed(tree, view, context_with(mean, "kind")).probability
    assert np.array_equal(np.argsort(alone), np.argsort(tree.probability))
    assert np.all(np.abs(alone - 0.5) <= np.abs(tree.probability - 0.5))


def test_sure_answers_stay_finite(merges):
    """Probabilities of 0 and 1 are doubted a little."""
    tree, view, mean = merges(60)
    sure = np.arange(len(tree.left)) % 2
    weighed_tree = weighed(
        MergeTree(tree.leaves, tree.left, tree.right, sure.astype(float), tree.rounds),
        view,
        context_with(mean),
    )
    assert np.all((weighed_tree.probability > 0.5) == (sure == 1))
    assert np.all(np.isfinite(weighed_tree.probability))
