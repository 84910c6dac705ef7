"""What a GPU runs, on whatever device is at hand: the same levels as the kernels build."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score as rand_index

from models import BadInputError, HiLander, KnnGraph, exact_knn, load_model
from models.conditions import conditions
from models.context import context_of
from models.cut import Cut, cut_at
from models.device import best_device
from models.kernels.levels import tie_hash
from models.levels import build_tree
from models.merging import merged_by_kernels, merged_on_tensors
from models.pair_features import pair_features
from models.pairs import Pairs, undirected
from models.stages import Stages
from models.supernodes import first_level
from models.tensor_asking import tie_hashes
from models.tensor_clusters import edges_once, tensor_level
from models.tensor_levels import build_tensor_tree
from models.tensor_pair_features import tensor_pair_features
from models.view import CHUNK_FLOATS, view_of

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=cuda)])
def trees(request):
    """A function: the two trees of rows and their graph, by kernels and on tensors."""
    model, device = load_model(device="cpu"), request.param

    def build(x, graph=None):
        graph = graph or exact_knn(x, 12)
        view, there = view_of(x, graph), view_of(x, graph, device)
        context = context_of(view, np.arange(len(x)), conditions("thing", None))
        network = load_model(device=device).network
        return (
            merged_by_kernels(model.network, view, context, Stages(None))[1],
            merged_on_tensors(network, there, context, Stages(None))[1],
        )

    return build


def labels(tree, lam):
    """Cluster numbers of the cut at `lam`."""
    counts = np.ones(tree.leaves, np.int32)
    return Cut(cut_at(tree, tree.sizes(counts), lam), lam).labels(counts > 0)


def mean_p(_clusters, pairs):
    """A score that both ways compute alike, to the last bit."""
    return pairs.sums[:, 1] / pairs.sums[:, 0]


class TestTree:
    @pytest.mark.parametrize("spread", [0.3, 0.7, 1.2])
    def test_cuts_are_those_of_the_kernels(self, trees, groups, spread):
        """Of clear, blurred and hardly visible groups, but for rows on which rounding decides."""
        kernels, tensors = trees(groups(40, 20, spread=spread)[0])
        for lam in (0.1, 0.3, 0.5, 0.7):
            assert rand_index(labels(kernels, lam), labels(tensors, lam)) > 0.99

    @pytest.mark.parametrize(
        ("classes", "size", "spread"), [(30, 20, 0.3), (30, 20, 1.2), (4, 300, 0.3)]
    )
    def test_levels_are_those_of_the_kernels(self, groups, classes, size, spread):
        """Where both score pairs alike: the same merges, level by level."""
        x, _ = groups(classes, size, spread=spread)
        graph = exact_knn(x, 12)
        p = np.random.default_rng(0).random(graph.neighbours.shape, np.float32)
        edges = tuple(
            np.asarray(part, np.float32 if part.dtype == np.float64 else np.int64)
            for part in undirected(graph.neighbours, p, graph.similarity)
        )
        more = x, x.mean(0), p[:, 0].copy(), p[:, 1].copy()
        kernels = build_tree(*first_level(edges, *more), mean_p)
        tensors = build_tensor_tree(
            *tensor_level(
                tuple(torch.from_numpy(part) for part in edges),
                *(torch.from_numpy(part) for part in more),
            ),
            mean_p,
        )
        assert kernels.rounds.tolist() == tensors.rounds.tolist()
        for level in kernels.levels():
            expected, actual = (merges(tree, level) for tree in (kernels, tensors))
            assert expected.keys() == actual.keys()
            for pair, q in expected.items():
                assert actual[pair] == pytest.approx(q, abs=1e-6)

    def test_ties_fall_the_same_way(self, trees):
        """Twelve copies of each of nine corners, all at one distance from all others."""
        x = np.repeat(np.eye(9, dtype=np.float32), 12, axis=0)
        kernels, tensors = trees(x)
        assert kernels.rounds.tolist() == tensors.rounds.tolist()
        assert labels(kernels, 0.5).tolist() == labels(tensors, 0.5).tolist()

    def test_a_row_that_lists_itself_does_not_merge_with_itself(self, trees, groups):
        """Graphs from elsewhere may hold such entries."""
        x, _ = groups(6, 20)
        graph = exact_knn(x, 12)
        neighbours, similarity = graph.neighbours.copy(), graph.similarity.copy()
        neighbours[:, 1:], similarity[:, 1:] = graph.neighbours[:, :-1], graph.similarity[:, :-1]
        neighbours[:, 0], similarity[:, 0] = np.arange(len(x)), 1
        for tree in trees(x, KnnGraph(neighbours, similarity)):
            assert len(tree.left) > 0
            assert (tree.left != tree.right).all()

    def test_few_pairs_at_once_change_nothing(self, trees, groups, monkeypatch):
        """Pairs are asked by parts."""
        x, _ = groups(10, 20, spread=0.7)
        _, expected = trees(x)
        monkeypatch.setitem(CHUNK_FLOATS, "cuda", 41 * 100)
        _, actual = trees(x)
        assert actual.probability.tolist() == pytest.approx(expected.probability.tolist(), abs=1e-3)

    @pytest.mark.parametrize("n", [0, 1, 2, 12, 13])
    def test_of_few_rows(self, trees, groups, n):
        """No rows, one, two, k and one more."""
        kernels, tensors = trees(groups(3, 5)[0][:n])
        assert tensors.leaves == n
        assert kernels.rounds.tolist() == tensors.rounds.tolist()
        assert labels(kernels, 0.5).tolist() == labels(tensors, 0.5).tolist()


def merges(tree, level):
    """{the lowest rows of both sides: q} of one level."""
    lowest = np.arange(tree.leaves + len(tree.left))
    for m, (left, right) in enumerate(zip(tree.left, tree.right, strict=True)):
        lowest[tree.leaves + m] = min(lowest[left], lowest[right])
    ends = np.sort(np.stack((lowest[tree.left[level]], lowest[tree.right[level]]), 1), axis=1)
    return dict(zip(map(tuple, ends.tolist()), tree.probability[level].tolist(), strict=True))


class TestPairs:
    def test_each_edge_is_there_once(self):
        """Of two rows that list each other the means are kept, of others what the one says."""
        neighbours = np.array([[1, 2], [0, 2], [1, -1]], np.int32)
        p = np.array([[0.2, 0.5], [0.4, 0.7], [0.9, 0.0]], np.float32)
        expected = undirected(neighbours, p, -p)
        actual = edges_once(*(torch.from_numpy(part) for part in (neighbours, p, -p)))
        for one, other in zip(actual, expected, strict=True):
            np.testing.assert_allclose(one.numpy(), other, rtol=1e-6)

    def test_features_are_by_their_definition(self, groups):
        """All 41 numbers, of rows and of clusters that have merged."""
        x, _ = groups(20, 10, spread=0.8)
        graph = exact_knn(x, 8)
        rng = np.random.default_rng(0)
        p = rng.random(graph.neighbours.shape, np.float32)
        i, j, p, _ = undirected(graph.neighbours, p, p)
        mean, near = x.mean(0), rng.random(len(x), np.float32)
        r = np.einsum("ed,ed->e", x[i] - mean, x[j] - mean) / np.maximum(
            np.linalg.norm(x[i] - mean, axis=1) * np.linalg.norm(x[j] - mean, axis=1), 1e-9
        )
        edges = (i, j, p.astype(np.float32), r.astype(np.float32))
        plain, _ = first_level(edges, x, mean, near, near)
        clusters, pairs = tensor_level(
            tuple(torch.from_numpy(np.asarray(part)) for part in edges),
            *(torch.from_numpy(part) for part in (x, mean, near, near)),
        )
        checked = 0

        def check(clusters, pairs):
            nonlocal checked
            checked += 1
            plain.sums = clusters.sums.numpy()
            plain.vectors, plain.mean = clusters.total.numpy(), np.zeros_like(mean)
            asked = Pairs(
                pairs.ends.int().numpy(),
                pairs.sums.numpy(),
                pairs.q.numpy(),
                pairs.limit.numpy(),
            )
            expected = pair_features(plain, asked)
            actual = tensor_pair_features(clusters, pairs).numpy()
            np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)
            return pairs.sums[:, 1] / pairs.sums[:, 0]

        tree = build_tensor_tree(clusters, pairs, check)
        assert checked > 5
        assert len(tree.left) > 100

    def test_hashes_are_those_of_the_kernels(self):
        """Also of rows beyond 32 bits."""
        rows = np.array([[0, 1], [7, 3], [123_456, 999_999], [2**40, 2**41 + 1]])
        actual = tie_hashes(*torch.from_numpy(rows).unbind(1))
        assert actual.tolist() == [tie_hash(np.int64(a), np.int64(b)) for a, b in rows]


def test_a_gpu_without_enough_memory_leaves_the_run_to_the_cpu(groups, monkeypatch):
    """The result is the CPU's, and a warning says why it took so long."""
    x, _ = groups(10, 12)
    graph = exact_knn(x)
    small = load_model(device="cpu")
    expected = small.cluster(x, graph)
    small.device = "cuda"

    def crowded(vectors, graph, device=None):
        if device == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return view_of(vectors, graph, device)

    monkeypatch.setattr("models.relational.view_of", crowded)
    with pytest.warns(RuntimeWarning, match="the memory of cuda does not do for 120 rows"):
        actual = small.cluster(x, graph)
    assert actual.labels.tolist() == expected.labels.tolist()


def test_a_gpu_without_enough_memory_leaves_the_graph_to_the_cpu(groups, monkeypatch):
    """Which finds the same neighbours, and a warning says why it took so long."""
    x, _ = groups(10, 12)
    expected = exact_knn(x)
    to = torch.from_numpy

    class Crowded:
        def __init__(self, array):
            self.array = array

        def to(self, device):
            if device == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory")
            return to(self.array).to(device)

    monkeypatch.setattr("models.graph.torch.from_numpy", Crowded)
    with pytest.warns(RuntimeWarning, match="the memory of cuda does not do for the graph of 120"):
        actual = exact_knn(x, device="cuda")
    np.testing.assert_array_equal(actual.neighbours, expected.neighbours)


def test_a_gpu_that_takes_no_work_is_left_alone(monkeypatch):
    """A model is loaded on the CPU, with a warning that has CUDA's own words."""

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("models.device.torch.zeros", full)
    with pytest.warns(RuntimeWarning, match="takes no work, the CPU does it: CUDA out of memory"):
        assert best_device() == "cpu"


@pytest.mark.parametrize("device", ["gpu", f"cuda:{torch.cuda.device_count()}", "meta"])
def test_a_device_that_is_none_is_named(groups, device):
    """With what is allowed, before anything is clustered."""
    with pytest.raises(BadInputError, match=f"device is '{device}'; it must be cpu, cuda where"):
        load_model(device=device)
    with pytest.raises(BadInputError, match=f"device is '{device}'"):
        HiLander(device=device).fit(groups(2, 3)[0])


def test_a_gpu_that_was_asked_for_may_be_full(monkeypatch):
    """That is no wrong name, and says itself what it lacks."""

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("models.device.torch.zeros", full)
    with pytest.raises(torch.OutOfMemoryError):
        load_model(device="cuda")


@cuda
class TestCuda:
    def test_says_the_same_every_time(self, groups):
        """Also where groups can hardly be told apart."""
        x, _ = groups(300, 20, spread=1.0)
        graph, there = exact_knn(x), load_model(device="cuda")
        one, two = there.cluster(x, graph), there.cluster(x, graph)
        assert one.labels.tolist() == two.labels.tolist()
        assert one.confidence.tolist() == two.confidence.tolist()

    def test_says_what_the_cpu_says(self, model, groups):
        """All but a few rows of blurred groups, on which rounding decides, are clustered alike."""
        x, _ = groups(200, 20, spread=0.7)
        graph = exact_knn(x)
        there, here = (network.cluster(x, graph) for network in (load_model(device="cuda"), model))
        assert rand_index(there.labels, here.labels) > 0.99
        np.testing.assert_allclose(there.expected_f, here.expected_f, atol=0.01)
