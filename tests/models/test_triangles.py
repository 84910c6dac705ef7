import numpy as np
import pytest
import torch

from models import KnnGraph, exact_knn
from models.network import Evidence, round_two_features
from models.triangle_messages import TriangleMessages
from models.triangles import triangles_of
from models.view import view_of


@pytest.fixture
def four_nodes():
    """Lists 0: 1 2, 1: 0 2, 2: 1 3, 3: 2 and nothing else."""
    neighbours = np.array([[1, 2], [0, 2], [1, 3], [2, -1]], np.int32)
    similarity = np.where(neighbours < 0, -2.0, 0.5).astype(np.float32)
    return view_of(np.eye(4, dtype=np.float32), KnnGraph(neighbours, similarity))


class TestFourNodes:
    def test_finds_each_triangle_once_for_each_edge(self, four_nodes):
        """0-1 share 2; 0-2 share 1; 1-2 share nobody but each other's lists; padding has none."""
        triangles = triangles_of(four_nodes, torch.arange(4), 2)
        found = [
            (int(e) // 2, int(four_nodes.neighbours.view(-1)[e]), int(u), int(w))
            for e, u, w in zip(triangles.base, triangles.place_i, triangles.place_j, strict=True)
        ]
        # (i, j, place of c in i's list, place of c in j's list)
        assert sorted(found) == [(0, 1, 1, 1), (0, 2, 0, 0), (1, 0, 1, 1)]

    def test_knows_the_rank_in_the_other_list(self, four_nodes):
        """The place of i in j's list, 2 where it is missing or the edge is padding."""
        back = triangles_of(four_nodes, torch.arange(4), 2).back
        assert back.tolist() == [[0, 2], [0, 0], [1, 0], [1, 2]]

    def test_messages_are_sums_and_maxima_over_common_neighbours(self, four_nodes):
        """For 0-1 over 2: p_02 p_12, |p_02 - p_12|, min, 1; zeros where there is no triangle."""
        triangles = triangles_of(four_nodes, torch.arange(4), 2)
        p = torch.tensor([[0.9, 0.5], [0.9, 0.4], [0.4, 0.2], [0.2, 0.0]])
        rows = triangles.base // 2
        j = four_nodes.neighbours.view(-1)[triangles.base].long()
        out = TriangleMessages()(triangles, p[rows, triangles.place_i], p[j, triangles.place_j])
        torch.testing.assert_close(out[0, 0], torch.tensor([0.5 * 0.4, 0.1, 0.4, 1.0]))
        torch.testing.assert_close(out[3], torch.zeros(2, 4))

    def test_shares_count_what_both_lists_hold(self, four_nodes):
        """0-1 share one of two neighbours."""
        shared = triangles_of(four_nodes, torch.arange(4), 2).shared()
        assert shared[0, 0].tolist() == pytest.approx([1 / 5, 1 / 10, 1 / 2])


def brute_force(graph, p):
    """The four messages of every edge, by three loops."""
    n, k = graph.neighbours.shape
    out = np.zeros((n, k, 4))
    for i in range(n):
        for a in range(k):
            j = graph.neighbours[i, a]
            for c in set(graph.neighbours[i]) & set(graph.neighbours[j]):
                pi = p[i, list(graph.neighbours[i]).index(c)]
                pj = p[j, list(graph.neighbours[j]).index(c)]
                out[i, a] += (pi * pj, abs(pi - pj), 0, 1)
                out[i, a, 2] = max(out[i, a, 2], min(pi, pj))
    return out


def test_messages_equal_three_loops(groups):
    """On a real graph, in any order of rows and however few rows the look-up table holds."""
    x, _ = groups(6, 15, spread=0.8)
    graph = exact_knn(x, 8)
    view = view_of(x, graph)
    p = np.random.default_rng(0).random((90, 8)).astype(np.float32)
    rows = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    triangles = triangles_of(view, rows, 8)
    i = rows[triangles.base // 8]
    j = view.neighbours[rows].reshape(-1)[triangles.base].long()
    tensor = torch.from_numpy(p)
    out = TriangleMessages()(triangles, tensor[i, triangles.place_i], tensor[j, triangles.place_j])
    np.testing.assert_allclose(out.numpy(), brute_force(graph, p)[rows.numpy()], rtol=1e-5)


def test_round_two_is_symmetric(groups):
    """An edge tells both of its directions the same, if round 1 did."""
    x, _ = groups(4, 10, spread=0.8)
    view = view_of(x, exact_knn(x, 6))
    neighbours = view.neighbours.long()
    rng = torch.Generator().manual_seed(0)
    symmetric = torch.rand(40, 40, generator=rng)
    symmetric = (symmetric + symmetric.T) / 2
    p = symmetric.gather(1, neighbours)
    rows = torch.arange(40)
    triangles = triangles_of(view, rows, 6)
    evidence = Evidence.of(view.neighbours, p)
    out = round_two_features(TriangleMessages(), triangles, evidence, rows, neighbours)
    mutual = (triangles.back < 6).nonzero()
    assert len(mutual) > 50
    for i, a in mutual.tolist():
        j, b = int(neighbours[i, a]), int(triangles.back[i, a])
        torch.testing.assert_close(out[i, a], out[j, b])
