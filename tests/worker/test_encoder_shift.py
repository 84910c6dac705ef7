"""The shift of the newest rows, on scanned digits that come in random order."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from models import exact_knn
from worker.encoder_shift import encoder_shift

# What the alert of helm/shoal/rules fires at.
LIMIT = 0.1


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def digits(seed=0):
    vectors = unit(load_digits().data)
    return vectors[np.random.default_rng(seed).permutation(len(vectors))]


def shift(vectors, counts=None):
    graph = exact_knn(vectors, 30)
    counts = np.ones(len(vectors), np.int32) if counts is None else counts
    return encoder_shift(graph.neighbours, graph.similarity, counts)


@pytest.mark.parametrize("seed", range(5))
def test_images_of_the_same_encoder(seed):
    """In any order the newest are as near to the old as those to each other."""
    assert shift(digits(seed)) < LIMIT / 2


def test_images_in_an_order_of_their_own():
    """One writer after the other is what is usual there, and no shift."""
    assert shift(unit(load_digits().data)) < LIMIT / 2


def test_noise():
    """Noise of a third of a vector's length puts the newest images further off."""
    vectors = digits()
    newest = vectors[1_200:]
    noise = np.random.default_rng(1).normal(size=newest.shape) / np.sqrt(newest.shape[1])
    vectors[1_200:] = unit(newest + 0.33 * noise)
    assert shift(vectors) > 2 * LIMIT


def test_rotation_of_a_tenth_of_the_dimensions():
    """Also where the newest images find each other as near as ever."""
    vectors = digits()
    random = np.random.default_rng(2)
    some = random.choice(64, 6, replace=False)
    turn, _ = np.linalg.qr(random.normal(size=(6, 6)))
    vectors[1_200:, some] = vectors[1_200:, some] @ turn
    assert shift(unit(vectors)) > LIMIT


def test_one_point_for_all():
    """An encoder that gives everything the same vector has shifted, though all are near."""
    vectors = digits()
    vectors[1_200:] = unit(vectors[:1] + 1e-3 * vectors[1_200:])
    assert shift(vectors) > 0.5


def test_few_rows_say_nothing():
    """Below four hundred newest ones, dead ones not counted, chance would be an alarm."""
    vectors = digits()
    assert shift(vectors[:1_599]) is None
    assert shift(vectors[:1_600]) is not None
    counts = np.ones(1_700, np.int32)
    counts[-100:] = 0
    assert shift(vectors[:1_700], counts) is None


def test_rows_without_neighbours_yet():
    """A row that is logged and not linked yet is passed over."""
    graph = exact_knn(digits()[:1_700], 30)
    neighbours, similarity = graph.neighbours.copy(), graph.similarity.copy()
    neighbours[-20:], similarity[-20:] = -1, -2.0
    assert encoder_shift(neighbours, similarity, np.ones(1_700, np.int32)) < LIMIT / 2
