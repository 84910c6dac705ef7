import numpy as np
import pytest

from models import ask, calibrated, cluster, exact_knn
from models.few import FEW_ROWS, METHOD
from models.vectors import unit_rows


@pytest.mark.parametrize("n", [2, 3, 5, 10, 20])
def test_strangers_stay_apart(model, n):
    """Images in directions of their own make no group, and none is expected."""
    x = np.random.default_rng(n).standard_normal((n, 64))
    result = cluster(x, model=model)
    assert len(result.exemplars) == n
    assert result.expected_f < 0.1
    assert (result.confidence < 0.9).all()


@pytest.mark.parametrize("n", [2, 3, 6, 30])
def test_versions_of_one_photo(model, n):
    """They are one group, be there nothing else in the collection."""
    rng = np.random.default_rng(n)
    x = rng.standard_normal(64) + 0.05 * rng.standard_normal((n, 64))
    result = cluster(x, model=model, granularity="shot")
    assert len(result.exemplars) == 1
    assert result.expected_f > 0.9


@pytest.mark.parametrize("copies", [1, 100])
def test_clear_groups(model, groups, same_partition, copies):
    """Four groups are found however often each image is there, and the result says how."""
    x, labels = groups(4, 10)
    result = cluster(np.repeat(x, copies, axis=0), model=model)
    assert same_partition(result.labels, np.repeat(labels, copies))
    assert (result.method, result.reason.split()[0]) == (METHOD, "40")


def test_where_the_networks_begin(model, groups):
    """One distinct image more than few, and they decide."""
    x, _ = groups(3, 17)
    assert len(x) == FEW_ROWS + 1
    assert cluster(x[:FEW_ROWS], model=model).method == METHOD
    assert cluster(x, model=model).method != METHOD


def test_a_told_size(model, groups):
    """It moves the cut."""
    x, _ = groups(8, 5, spread=0.6)
    largest = [
        np.bincount(cluster(x, model=model, group_size=size).labels).max() for size in (1, 40)
    ]
    assert largest[0] < largest[1]


def test_answers(model, groups):
    """Pairs can be asked about, and the answers cut anew."""
    x, labels = groups(8, 5, spread=1.2)
    result = cluster(x, model=model)
    pairs = ask(result, 30)
    better = calibrated(result, pairs, labels[pairs[:, 0]] == labels[pairs[:, 1]])
    assert better.reason == f"cut by {len(pairs)} answers"


def test_dead_rows(model, groups):
    """They are passed over, and count for nothing."""
    x, _ = groups(4, 10)
    counts = np.ones(40, np.int32)
    counts[::4] = 0
    result = cluster(x, graph=exact_knn(x), counts=counts, model=model)
    assert (result.labels[::4] == -1).all()
    assert len(result.exemplars) == 4
    assert result.reason.startswith("30 distinct")


def test_nothing_but_dead_rows(model):
    """Rows that were erased as they came have no likely edge."""
    unit = np.eye(3, dtype=np.float32)
    context, graph = model.context(unit, exact_knn(unit)), exact_knn(unit)
    p = model.edge_probabilities(np.zeros_like(unit), graph, np.arange(3), context)
    assert (p < 0.5).all()


def test_edges_between_runs(model, groups):
    """They say what a run would, of rows that are there and not dead."""
    x, labels = groups(4, 10)
    unit = unit_rows(x)
    unit[3] = 0
    graph = exact_knn(x)
    rows = np.array([0, 12, 25])
    context = model.context(unit, graph)
    p = model.edge_probabilities(unit, graph, rows, context, first=6)
    assert (p[:, 6:] == 0).all()
    near = graph.neighbours[rows, :6]
    assert ((p[:, :6] > 0.5) == (labels[near] == labels[rows][:, None]))[near != 3].all()
