import torch

from models.decode import decode, predicted_density


class TestFourNodes:
    """A path 0 - 1 - 2 and an outsider 3; node 1 is densest, then 2, 0, 3."""

    neighbours = torch.tensor([[1, 2], [0, 2], [1, 0], [2, -1]])
    probability = torch.tensor([[0.9, 0.2], [0.9, 0.8], [0.8, 0.2], [0.1, 0.0]])
    density = torch.tensor([0.3, 0.9, 0.5, 0.1])

    def test_edges_climb_to_the_peak(self):
        """Nodes 0 and 2 point to 1, the outsider's edge is too unlikely."""
        parent, root = decode(self.neighbours, self.probability, self.density, 0.5)
        assert parent.tolist() == [1, 1, 1, 3]
        assert root.tolist() == [1, 1, 1, 3]

    def test_a_low_threshold_lets_the_outsider_in(self):
        """Its parent is 2, its root the peak that 2 hangs from."""
        parent, root = decode(self.neighbours, self.probability, self.density, 0.05)
        assert parent.tolist() == [1, 1, 1, 2]
        assert root.tolist() == [1, 1, 1, 1]

    def test_the_likeliest_edge_wins_not_the_nearest(self):
        """Among denser neighbours the probability decides."""
        density = torch.tensor([0.1, 0.5, 0.9, 0.0])
        probability = torch.tensor([[0.6, 0.7], [0.9, 0.8], [0.8, 0.2], [0.1, 0.0]])
        parent, _ = decode(self.neighbours, probability, density, 0.5)
        assert parent.tolist() == [2, 2, 2, 3]

    def test_density_is_positive_for_likely_edges_and_negative_for_unlikely_ones(self):
        """d^ = mean of s (2 p - 1) over the real edges."""
        similarity = torch.tensor([[0.8, 0.6], [0.8, 0.7], [0.7, 0.6], [0.5, -2.0]])
        density = predicted_density(similarity, self.probability, self.neighbours >= 0)
        expected = [(0.8 * 0.8 - 0.6 * 0.6) / 2, 0.53, (0.7 * 0.6 - 0.6 * 0.6) / 2, -0.4]
        torch.testing.assert_close(density, torch.tensor(expected))


def test_equal_densities_link():
    """Nodes of equal density, such as copies, are not kept apart: the lower row is denser."""
    neighbours = torch.tensor([[1, 2], [0, 2], [0, 1]])
    ones = torch.ones(3, 2)
    parent, root = decode(neighbours, ones, torch.zeros(3), 0.5)
    assert root.tolist() == [0, 0, 0]
    assert parent[0] == 0


def test_long_chains_reach_their_root():
    """Pointer doubling follows a path of a thousand nodes."""
    n = 1000
    neighbours = torch.arange(1, n + 1).clamp(max=n - 1)[:, None]
    neighbours[n - 1] = -1
    density = torch.arange(n).float()
    _, root = decode(neighbours, torch.ones(n, 1), density, 0.5)
    assert (root == n - 1).all()


def test_no_nodes():
    """An empty level decodes to an empty level."""
    empty = torch.zeros(0, 3)
    parent, root = decode(empty.long(), empty, torch.zeros(0), 0.5)
    assert len(parent) == len(root) == 0
