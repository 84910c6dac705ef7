import tracemalloc

import numpy as np
import pytest
from counting import Counting

from models import KnnGraph, exact_knn
from models.conditions import conditions
from models.context import context_of
from models.contraction import pair_score, super_nodes
from models.judging import judge_graph
from models.levels import build_tree
from models.view import view_of

K = 12


@pytest.fixture(scope="module")
def copies(groups):
    """A function: so many copies of one collection of 400 rows side by side, with their graph."""
    x, _ = groups(40, 10, spread=0.6)
    graph = exact_knn(x, K)

    def make(times):
        shift = (400 * np.arange(times, dtype=np.int32))[:, None, None]
        neighbours = (graph.neighbours + shift).reshape(-1, K)
        return np.tile(x, (times, 1)), KnnGraph(neighbours, np.tile(graph.similarity, (times, 1)))

    return make


def work(model, x, graph):
    """Edges judged, and pairs asked, in a run."""
    view = view_of(x, graph)
    context = context_of(view, np.arange(len(x)), conditions("thing", None))
    judged = judge_graph(model.network, view, context)
    score = Counting(pair_score(model.network, context))
    build_tree(*super_nodes(view, judged), score)
    return np.array([len(judged.edges), score.asked])


def test_work_grows_with_the_collection(model, copies):
    """Four times the rows are four times the edges judged, and the pairs asked within 20 %."""
    one, four = work(model, *copies(2)), work(model, *copies(8))
    assert four[0] == 4 * one[0]
    assert four[1] == pytest.approx(4 * one[1], rel=0.2)


def test_memory_grows_with_the_collection(model, copies):
    """A run over 4,000 rows takes 3 KiB a row; a single n x n array of bytes would take 4."""
    x, graph = copies(10)
    work(model, x, graph)  # what is loaded once
    tracemalloc.start()
    try:
        work(model, x, graph)
        assert tracemalloc.get_traced_memory()[1] < 3 * 1024 * len(x)
    finally:
        tracemalloc.stop()
