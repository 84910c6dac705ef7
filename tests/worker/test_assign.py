import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worker.assign import assign


def plan(neighbours, probability, labels, rows=None, threshold=0.5):
    neighbours = np.array(neighbours, np.int32)
    rows = np.arange(len(labels) - len(neighbours), len(labels)) if rows is None else rows
    return assign(
        np.array(rows),
        neighbours,
        np.array(probability, np.float32),
        np.array(labels, np.int32),
        threshold,
    )


def test_joins_the_cluster_with_most_evidence():
    """Two fair edges into one cluster outweigh a single better one into another."""
    made = plan([[0, 1, 2]], [[0.8, 0.6, 0.6]], [7, 9, 9, -1])
    assert made.labels.tolist() == [9]
    assert made.confidence.tolist() == [np.float32(0.6)]


def test_weak_edges_begin_a_new_cluster():
    """A row that no edge of the threshold speaks for begins a cluster of its own."""
    made = plan([[0, 1]], [[0.4, 0.3]], [7, 7, -1])
    assert made.labels.tolist() == [-2]
    assert made.new == 1
    assert made.confidence.tolist() == [np.float32(0.6)]


def test_rows_of_one_batch_see_each_other():
    """A row joins the new cluster of a row before it in the same batch."""
    made = plan([[-1, -1], [0, -1], [1, 0]], [[0, 0], [0.9, 0], [0.9, 0.2]], [-1, -1, -1])
    assert made.labels.tolist() == [-2, -2, -2]
    assert made.new == 1


def test_cluster_number_zero_is_a_cluster():
    """The cluster with number 0 is joined like any other."""
    assert plan([[0]], [[0.9]], [0, -1]).labels.tolist() == [0]


@given(st.integers(0, 40), st.integers(1, 6), st.randoms(use_true_random=False))
def test_every_row_gets_a_cluster(m, k, random):
    """Whatever the edges, each row gets a cluster that exists or one of the new ones in order."""
    old = 5
    labels = [random.randrange(3) for _ in range(old)] + [-1] * m
    neighbours = [[random.randrange(-1, old + m) for _ in range(k)] for _ in range(m)]
    probability = [[random.random() * (j >= 0) for j in row] for row in neighbours]
    if m == 0:
        neighbours, probability = np.empty((0, k)), np.empty((0, k))
    made = plan(neighbours, probability, labels)
    fresh = made.labels[made.labels < 0]
    assert len(made.labels) == m
    assert sorted({int(-x - 2) for x in fresh}) == list(range(made.new))
    assert set(made.labels[made.labels >= 0].tolist()) <= set(labels)
    assert ((made.confidence >= 0) & (made.confidence <= 1)).all()
