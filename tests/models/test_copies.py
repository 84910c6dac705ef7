import tracemalloc

import numpy as np
import pytest

from models import cluster, exact_knn
from models.copies import CANDIDATE, contracted, distinct_graph, distinct_part
from models.graph import KnnGraph
from models.vectors import collapse, unit_rows

COPIES = 100


@pytest.fixture(scope="module")
def copied(groups):
    """Twenty groups of fifteen, with a hundred copies of the first image: features, labels."""
    x, labels = groups(20, 15)
    return (
        np.concatenate((x, np.repeat(x[:1], COPIES, axis=0))),
        np.concatenate((labels, np.repeat(labels[:1], COPIES))),
    )


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_scaled_copies_are_copies(model, copied, same_partition, kind):
    """Whatever length and precision they come in, they stay with their group."""
    x, labels = copied
    scale = np.random.default_rng(0).uniform(0.3, 3, (len(x), 1))
    scaled = (x * scale).astype(kind)
    distinct, _ = distinct_graph(unit_rows(scaled), 30)
    assert distinct.counts.max() == COPIES + 1
    assert len(distinct.unit) == len(x) - COPIES
    assert same_partition(cluster(scaled, model=model).labels, labels)


def test_near_copies_are_not(groups):
    """Images that differ by more than rounding are nodes of their own, however alike they are."""
    x, _ = groups(20, 15)
    rng = np.random.default_rng(0)
    near = np.concatenate((x, x[:5] * (1 + 0.01 * rng.standard_normal((5, x.shape[1])))))
    assert len(distinct_graph(unit_rows(near), 30)[0].unit) == len(near)


def test_a_narrow_cone_is_none(groups):
    """Embeddings of one large direction in common are told apart by the rest of them."""
    x, _ = groups(20, 15)
    cone = unit_rows(np.concatenate((np.full((len(x), 1), 3_000.0), x), axis=1))
    assert len(distinct_graph(cone, 30)[0].unit) == len(x)


def test_with_a_graph(model, copied, same_partition):
    """Copies are no island in a graph that is brought."""
    x, labels = copied
    result = cluster(x, graph=exact_knn(x), model=model)
    assert same_partition(result.labels, labels)
    np.testing.assert_array_equal(result.labels, cluster(x, model=model).labels)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_scaled_copies_with_a_graph(model, copied, same_partition, kind):
    """The graph that is brought is of all of them, as that of a caller who knows of no copies."""
    x, labels = copied
    scaled = (x * np.random.default_rng(0).uniform(0.3, 3, (len(x), 1))).astype(kind)
    result = cluster(scaled, graph=exact_knn(scaled), model=model)
    assert same_partition(result.labels, labels)
    np.testing.assert_array_equal(result.labels, cluster(scaled, model=model).labels)


def test_a_contracted_graph_is_exact(copied):
    """Rows that lost neighbours are searched for again."""
    unit = unit_rows(copied[0])
    distinct = collapse(unit)
    found = contracted(exact_knn(unit), distinct)
    expected = exact_knn(distinct.unit)
    np.testing.assert_array_equal(found.neighbours, expected.neighbours)
    np.testing.assert_allclose(found.similarity, expected.similarity, atol=1e-6)


@pytest.mark.parametrize(("n", "spread"), [(2_000, 0.02), (10_000, 0.02), (2_000, 0.001)])
def test_neighbours_on_a_circle_are_none(model, same_partition, n, spread):
    """In two dimensions images lie nearer to one another than rounding is elsewhere."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), n // 20)
    angle = labels * 2 * np.pi / 20
    x = np.stack((np.cos(angle), np.sin(angle)), axis=1) + spread * rng.standard_normal((n, 2))
    assert len(distinct_graph(unit_rows(x), 30)[0].unit) > n / 2
    assert same_partition(cluster(x, model=model).labels, labels)


def test_copies_that_are_nearly_all_of_a_collection(groups):
    """A thousand of one photo, which single precision keeps apart, are one among a few others."""
    x, _ = groups(20, 2, d=64)
    scaled = np.outer(np.random.default_rng(0).uniform(0.3, 3, 1_000), x[0]).astype(np.float32)
    unit = unit_rows(np.concatenate((scaled, x[1:])))
    assert len(collapse(unit).counts) > 100
    assert len(distinct_graph(unit, 30)[0].unit) == len(x)


def test_copies_of_every_image(model, same_partition, groups):
    """Forty of each in half precision list one another alone, and are one all the same."""
    x, labels = groups(10, 10, d=64, spread=0.3)
    scale = np.random.default_rng(0).uniform(0.3, 3, (4_000, 1))
    copies = (np.repeat(x, 40, axis=0) * scale).astype(np.float16)
    for k in (30, 5):
        assert len(distinct_graph(unit_rows(copies), k)[0].unit) == len(x)
    found = cluster(copies, graph=exact_knn(copies), model=model)
    assert same_partition(found.labels, np.repeat(labels, 40))


def test_copies_in_a_graph_of_few_edges(groups):
    """Two among thousands of rows of which nobody else has a neighbour."""
    x, _ = groups(100, 50, d=16)
    x[3] = x[1] * (1 + 1e-7)
    unit = unit_rows(x)
    unit[3, 0] += 1e-7
    near = np.full((len(x), 1), -1, np.int32)
    near[[1, 3], 0] = 3, 1
    similarity = np.where(near < 0, -2, 1).astype(np.float32)
    distinct, _ = distinct_part(unit, KnnGraph(near, similarity))
    assert len(distinct.unit) == len(x) - 1


def test_many_copies_need_no_more_graphs(groups):
    """However many they are, one graph finds them and a second one that none is left."""
    x, _ = groups(20, 15, d=64)
    scale = np.random.default_rng(0).uniform(0.3, 3, (1_000, 1))
    unit = unit_rows(np.concatenate(((x[:1] * scale).astype(np.float16), x[1:])))
    shares = []
    distinct, _ = distinct_graph(unit, 30, progress=lambda _, share: shares.append(share))
    assert len(distinct.unit) == len(x)
    assert shares.count(1.0) == 2


def test_copies_do_not_follow_one_another(groups):
    """A row of rows, each a rounding's distance from the one before, does not become one node."""
    x, _ = groups(20, 15)
    walk = unit_rows(x[:1] + np.linspace(0, 0.02, 60)[:, None] * x[1:2])
    distinct, _ = distinct_graph(np.concatenate((walk, x[1:])), 30)
    assert 5 < len(distinct.unit) - len(x) + 1 < 60


def test_many_candidates_take_little_memory(groups):
    """Rows are compared block by block, though all pairs of a narrow cone might be copies."""
    x, _ = groups(200, 15, d=256)
    cone = unit_rows(x + 30.0)
    distinct_graph(cone[:100], 30)
    tracemalloc.start()
    distinct, graph = distinct_graph(cone, 30)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(distinct.unit) == len(cone)
    assert (graph.similarity > CANDIDATE).all()
    assert peak < 60 << 20
