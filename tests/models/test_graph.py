import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from models import BadInputError, KnnGraph, exact_knn
from models.graph import PAD_NEIGHBOUR, PAD_SIMILARITY


class TestExactKnn:
    def test_is_exact(self, groups):
        """Neighbours and similarities are those of a brute-force search."""
        x, _ = groups(10, 20)
        graph = exact_knn(x, 7)
        distance, index = NearestNeighbors(n_neighbors=8, metric="cosine").fit(x).kneighbors(x)
        np.testing.assert_array_equal(graph.neighbours, index[:, 1:])
        np.testing.assert_allclose(graph.similarity, 1 - distance[:, 1:], atol=1e-5)

    def test_tiles_change_nothing(self, groups, monkeypatch):
        """Whatever the size of the tiles, the graph is the same."""
        x, _ = groups(10, 20)
        expected = exact_knn(x, 7)
        monkeypatch.setattr("models.graph.TILE_ROWS", 33)
        monkeypatch.setattr("models.graph.TILE_COLUMNS", 5)
        actual = exact_knn(x, 7)
        np.testing.assert_array_equal(actual.neighbours, expected.neighbours)
        np.testing.assert_allclose(actual.similarity, expected.similarity, atol=1e-6)

    @pytest.mark.parametrize("n", [0, 1, 2, 5, 6])
    def test_few_rows_are_padded_at_the_end(self, n):
        """With n <= k rows each has its n - 1 neighbours, then padding."""
        graph = exact_knn(np.eye(6)[:n] + 0.1, 5)
        assert graph.neighbours.shape == graph.similarity.shape == (n, 5)
        real = max(n - 1, 0)
        assert (graph.neighbours[:, :real] >= 0).all()
        assert (graph.neighbours[:, real:] == PAD_NEIGHBOUR).all()
        assert (graph.similarity[:, real:] == PAD_SIMILARITY).all()

    def test_never_lists_the_row_itself(self):
        """Even among identical rows a row is not its own neighbour."""
        graph = exact_knn(np.ones((8, 3)), 4)
        assert not (graph.neighbours == np.arange(8)[:, None]).any()

    def test_refuses_k_below_one(self):
        """A graph without neighbours is a mistake."""
        with pytest.raises(BadInputError, match="k is 0"):
            exact_knn(np.eye(3), 0)

    def test_refuses_a_device_that_is_none(self):
        """Torch's own error names neither the argument nor what is allowed."""
        with pytest.raises(BadInputError, match="device is 'gpu'"):
            exact_knn(np.eye(3), 2, device="gpu")


def test_a_graph_needs_two_arrays_of_one_shape():
    """Neighbours and similarities must fit."""
    with pytest.raises(BadInputError, match="both must be"):
        KnnGraph(np.zeros((3, 2), np.int32), np.zeros((3, 4), np.float32))
