"""Runs of the real model that heed answers."""

import numpy as np
import pytest

from models import evaluate, exact_knn
from models.facts import ANSWERED
from worker.recluster.child import hilander
from worker.recluster.view import View


@pytest.fixture(scope="module")
def collection():
    """Forty families of two look-alikes of six images: unit rows and their classes."""
    rng = np.random.default_rng(0)
    family = np.repeat(rng.standard_normal((40, 32)), 2, axis=0)
    centre = family + 0.35 * rng.standard_normal(family.shape)
    labels = np.repeat(np.arange(80), 6)
    x = centre[labels] + 0.3 * rng.standard_normal((len(labels), 32))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.fixture
def view(collection, tmp_path):
    """A function: the view of a run over it, with the given fields changed."""
    unit, _ = collection
    unit.tofile(tmp_path / "vectors")
    graph = exact_knn(unit)

    def made(**fields):
        n = len(unit)
        return View(
            **{
                "collection": "main",
                "generation": 1,
                "n": n,
                "dimension": unit.shape[1],
                "k": graph.neighbours.shape[1],
                "vectors_path": tmp_path / "vectors",
                "granularity": "thing",
                "group_size": None,
                "neighbours": graph.neighbours,
                "similarity": graph.similarity,
                "counts": np.ones(n, np.int32),
                "labels": np.full(n, -1, np.int32),
                "provisional": np.ones(n, np.bool_),
            }
            | fields
        )

    return made


def run(view):
    return hilander(view, lambda _stage, _progress: None)


def answered(pairs, truth):
    """Facts of `pairs`: is the `truth` of both the same?"""
    same = truth[pairs[:, 0]] == truth[pairs[:, 1]]
    return np.column_stack((pairs, same)).astype(np.int64)


@pytest.mark.parametrize("what", ["classes", "families"])
def test_answers_say_how_coarse_clusters_are(view, collection, what):
    """The same images in classes or in their families, by answers to the run's own questions."""
    truth = collection[1] // (2 if what == "families" else 1)
    first = run(view())
    assert 0 < len(first.questions) <= 100
    assert first.method != ANSWERED
    settled = run(view(facts=answered(first.questions, truth)))
    assert settled.method == ANSWERED
    assert evaluate(truth, settled.labels).pairwise_f > 0.95
    assert what == "families" or evaluate(truth, first.labels).pairwise_f < 0.75
    assert np.array_equal(settled.questions, first.questions)


def test_the_questions_of_another_run_are_others(view):
    """So that answers over several runs add up."""
    first, second = (run(view(generation=generation)).questions for generation in (1, 2))
    assert not np.array_equal(first, second)


def test_a_size_that_is_told_outweighs_answers(view, collection):
    """It is what the operator says of the whole collection; such a run asks nothing."""
    labels = collection[1]
    told = run(view(group_size=6.0))
    assert len(told.questions) == 0
    both = run(view(group_size=6.0, facts=answered(run(view()).questions, labels // 2)))
    assert both.method != ANSWERED
    assert np.array_equal(both.labels, told.labels)
