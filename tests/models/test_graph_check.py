import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.neighbors import kneighbors_graph

from models import BadInputError, HiLander, KnnGraph, cluster, exact_knn


@pytest.fixture(scope="module")
def images(groups):
    """Features of twenty groups of ten."""
    return groups(20, 10)[0]


def swapped(graph, row):
    graph.neighbours[row, :2] = graph.neighbours[row, 1::-1]
    graph.similarity[row, :2] = graph.similarity[row, 1::-1]


def with_itself(graph, row):
    graph.neighbours[row, 0] = row


def unknown(graph, row):
    graph.neighbours[row, 3] = len(graph)


def before_the_first(graph, row):
    graph.neighbours[row, 3] = -7


def no_number(graph, row):
    graph.similarity[row, 3] = np.nan


def twice(graph, row):
    graph.neighbours[row, 4] = graph.neighbours[row, 3]


def with_a_gap(graph, row):
    graph.neighbours[row, 3] = -1


def of_other_vectors(graph, row):
    graph.similarity[row] -= 0.3


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (swapped, "graph row 57 has neighbours that are not in the order"),
        (with_itself, "graph row 57 has itself"),
        (unknown, "graph row 57 has a neighbour that is not in 0..199"),
        (before_the_first, "graph row 57 has a neighbour that is not in 0..199"),
        (no_number, "graph row 57 has a similarity that is no number"),
        (twice, "graph row 57 has a neighbour twice"),
        (with_a_gap, "graph row 57 has a neighbour after a missing one"),
        (of_other_vectors, "graph row 57 has similarity .* and their cosine is"),
    ],
)
def test_a_graph_that_is_none(images, model, change, match):
    """What is wrong with it, and in which row, is said before anything is clustered."""
    graph = exact_knn(images)
    change(graph, 57)
    with pytest.raises(BadInputError, match=match):
        cluster(images, graph=graph, model=model)


def test_arrays_that_are_none():
    """Lists, floating ids, and no neighbours at all."""
    with pytest.raises(BadInputError, match="neighbours of list; it must be an array"):
        KnnGraph([[1], [0]], np.ones((2, 1), np.float32))
    with pytest.raises(BadInputError, match="neighbours of float64"):
        KnnGraph(np.array([[1.0], [0.0]]), np.ones((2, 1), np.float32))


def test_no_neighbours(images, model):
    """A graph of no columns is none, save for a single row."""
    none = KnnGraph(np.zeros((200, 0), np.int32), np.zeros((200, 0), np.float32))
    with pytest.raises(BadInputError, match="no neighbours"):
        cluster(images, graph=none, model=model)


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("counts", [None, 0, 3])
def test_no_neighbours_of_a_single_row(images, model, n, counts):
    """Such a row is a cluster, or dead; also where a sparse matrix says so."""
    x = images[:n]
    none = KnnGraph(np.zeros((n, 0), np.int32), np.zeros((n, 0), np.float32))
    images_of = None if counts is None else np.full(n, counts, np.int32)
    expected = [-1 if counts == 0 else 0] * n
    assert cluster(x, graph=none, counts=images_of, model=model).labels.tolist() == expected
    context = model.context(x, none, images_of)
    assert model.edge_probabilities(x, none, np.arange(n), context).shape == (n, 0)
    assert HiLander(device="cpu").fit(x, graph=csr_matrix((n, n))).labels_.tolist() == [0] * n


@pytest.mark.parametrize("how", [{"mode": "distance"}, {}])
def test_a_graph_of_other_distances(images, how):
    """Euclidean distances, or none, are told from cosine distances."""
    graph = kneighbors_graph(3 * images, 30, **how)
    with pytest.raises(BadInputError, match="must be cosines"):
        HiLander(device="cpu").fit(images, graph=graph)


def test_what_passes(images, model):
    """Half precision, views that run backwards, and rows of fewer neighbours."""
    graph = exact_knn(images)
    labels = cluster(images, graph=graph, model=model).labels
    half = KnnGraph(graph.neighbours, graph.similarity.astype(np.float16))
    assert len(cluster(images, graph=half, model=model).labels) == 200
    back = KnnGraph(graph.neighbours[::-1].copy()[::-1], graph.similarity[::-1].copy()[::-1])
    np.testing.assert_array_equal(cluster(images, graph=back, model=model).labels, labels)
    fewer = KnnGraph(graph.neighbours.copy(), graph.similarity.copy())
    fewer.neighbours[5, 20:], fewer.similarity[5, 20:] = -1, -2
    assert len(cluster(images, graph=fewer, model=model).labels) == 200
