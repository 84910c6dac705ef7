import json
import shutil

import numpy as np
import pytest
import torch

from models import BadInputError, KnnGraph, WeightsError, cluster, exact_knn, living, load_model
from models.edges import reader_of
from models.network import HiLanderNetwork, with_context
from models.view import view_of
from models.weights import CONFIG, SHIPPED, TENSORS, Config, load_weights, save_weights


@pytest.fixture(scope="module")
def run(model, groups):
    """Vectors, graph and result of one run over 300 rows."""
    x, _ = groups(30, 10, spread=0.7)
    graph = exact_knn(x)
    return x, graph, model.cluster(x, graph)


class TestDeadRows:
    def test_are_ignored_and_labelled_minus_one(self, model, run):
        """A graph with dead rows gives the living what a graph without them gives."""
        x, graph, expected = run
        n, k = graph.neighbours.shape
        place = np.arange(0, 2 * n, 2)  # every other row is dead
        vectors = np.ones((2 * n, x.shape[1]), np.float32)
        vectors[place] = x
        neighbours = np.full((2 * n, k), -1, np.int32)
        neighbours[place] = place[graph.neighbours]
        similarity = np.full((2 * n, k), -2.0, np.float32)
        similarity[place] = graph.similarity
        counts = np.zeros(2 * n, np.int32)
        counts[place] = 1
        result = model.cluster(vectors, KnnGraph(neighbours, similarity), counts)
        assert (result.labels[1::2] == -1).all()
        assert not result.confidence[1::2].any()
        assert all((level[1::2] == -1).all() for level in result.levels)
        np.testing.assert_array_equal(result.labels[place], expected.labels)
        np.testing.assert_array_equal(result.exemplars, place[expected.exemplars])

    @pytest.mark.parametrize("seed", range(3))
    def test_that_are_listed_are_ignored_too(self, model, groups, seed):
        """Of long lists that name dead rows the living get what they get alone."""
        x, _ = groups(40, 12, spread=1.1, seed=seed)
        counts = np.ones(len(x), np.int32)
        counts[np.random.default_rng(seed).permutation(len(x))[: len(x) // 2]] = 0
        living, graph = counts > 0, exact_knn(x, 120)
        alone, exact = x[living], exact_knn(x[living])
        expected = model.cluster(alone, exact)
        before = graph.neighbours.copy()
        actual = model.cluster(x, graph, counts)
        np.testing.assert_array_equal(graph.neighbours, before)
        assert (actual.labels[~living] == -1).all()
        np.testing.assert_array_equal(actual.labels[living], expected.labels)
        np.testing.assert_array_equal(
            cluster(x, graph=graph, counts=counts, model=model).labels, actual.labels
        )
        np.testing.assert_array_equal(
            model.context(x, graph, counts).numbers, model.context(alone, exact).numbers
        )

    def test_lists_of_others_become_shorter(self, monkeypatch):
        """What is behind a dead row moves up, block by block; lists of dead rows are empty."""
        monkeypatch.setattr(living, "CHUNK_ROWS", 2)
        neighbours = np.array([[1, 2, 3], [0, 2, -1], [3, 0, 1], [2, -1, -1]], np.int32)
        similarity = np.where(neighbours < 0, -2, 0.9 - neighbours / 10).astype(np.float32)
        graph = KnnGraph(neighbours, similarity)
        found = living.living_graph(graph, np.array([1, 0, 3, 1], np.int32))
        assert found.neighbours.tolist() == [[2, 3, -1], [-1, -1, -1], [3, 0, -1], [2, -1, -1]]
        expected = np.where(found.neighbours < 0, -2, 0.9 - found.neighbours / 10)
        np.testing.assert_allclose(found.similarity, expected, rtol=1e-6)
        assert living.living_graph(found, np.array([1, 0, 3, 1], np.int32)) is found

    def test_a_collection_of_dead_rows_only(self, model):
        """Everything was erased: no cluster, no error."""
        graph = KnnGraph(np.full((4, 30), -1, np.int32), np.full((4, 30), -2.0, np.float32))
        result = model.cluster(np.ones((4, 3), np.float32), graph, np.zeros(4, np.int32))
        assert result.labels.tolist() == [-1] * 4
        assert len(result.exemplars) == 0

    def test_counts_must_fit(self, model, run):
        """One count per row, none of them negative."""
        x, graph, _ = run
        with pytest.raises(BadInputError, match="counts has 3 entries"):
            model.cluster(x, graph, np.ones(3, np.int32))
        counts = np.ones(len(x), np.int32)
        counts[7] = -2
        with pytest.raises(BadInputError, match=r"counts\[7\] is -2"):
            model.cluster(x, graph, counts)


def test_vectors_may_be_a_read_only_memmap(model, run, tmp_path):
    """The file of a collection is read as it lies on disk."""
    x, graph, expected = run
    x.tofile(tmp_path / "vectors")
    mapped = np.memmap(tmp_path / "vectors", np.float32, "r", shape=x.shape)
    np.testing.assert_array_equal(model.cluster(mapped, graph).labels, expected.labels)


def test_vectors_must_be_float32(model, run):
    """Anything else would be read wrongly."""
    x, graph, _ = run
    with pytest.raises(BadInputError, match="vectors is float64"):
        model.cluster(x.astype(np.float64), graph)


class TestEdgeProbabilities:
    def test_are_those_of_the_run(self, model, run):
        """Of a few rows, in any order, the same as of all."""
        x, graph, result = run
        everything = model.edge_probabilities(x, graph, np.arange(300), result.context)
        rows = np.array([250, 3, 77])
        few = model.edge_probabilities(x, graph, rows, result.context)
        assert few.dtype == np.float32
        np.testing.assert_allclose(few, everything[rows], atol=1e-5)

    def test_are_round_one_on_tensors(self, model, run):
        """What the worker sees between runs is what a run begins with, on any device."""
        x, graph, result = run
        view, rows = view_of(x, graph), torch.arange(300)
        features, _, valid = reader_of(view, result.context).read(rows)
        told = with_context(features, result.context.inputs(view.device))
        expected = model.network.first.probability(told) * valid
        actual = model.edge_probabilities(x, graph, rows.numpy(), result.context)
        np.testing.assert_allclose(actual, expected.numpy(), atol=1e-5)

    def test_only_the_first_if_asked(self, model, run):
        """The first seven are the same, the others 0."""
        x, graph, result = run
        rows = np.arange(40, 60)
        all_edges = model.edge_probabilities(x, graph, rows, result.context)
        first = model.edge_probabilities(x, graph, rows, result.context, first=7)
        np.testing.assert_allclose(first[:, :7], all_edges[:, :7], atol=1e-5)
        assert not first[:, 7:].any()

    def test_padding_gets_zero(self, model):
        """Also where a row has no neighbour at all."""
        x = np.eye(4, dtype=np.float32)
        graph = exact_knn(x)
        context = model.context(x, graph)
        p = model.edge_probabilities(x, graph, np.arange(4), context)
        assert (p[:, :3] > 0).all()
        assert not p[:, 3:].any()

    def test_no_rows(self, model, run):
        """An empty batch has no edges."""
        x, graph, result = run
        p = model.edge_probabilities(x, graph, np.zeros(0, np.int64), result.context)
        assert p.shape == (0, 30)

    def test_rows_that_came_after_the_run_are_judged(self, model, run):
        """With a context of the first 200 rows, edges of the others come out nearly the same."""
        x, graph, result = run
        early = exact_knn(x[:200])
        context = model.context(x[:200], early)
        rows = np.arange(280, 300)
        late = model.edge_probabilities(x, graph, rows, context)
        expected = model.edge_probabilities(x, graph, rows, result.context)
        assert np.abs(late - expected).mean() < 0.1

    def test_true_edges_are_likelier(self, model, groups):
        """Within a group above .5 on average, across groups below."""
        x, labels = groups(30, 10, spread=0.3)
        graph = exact_knn(x)
        p = model.edge_probabilities(x, graph, np.arange(300), model.context(x, graph))
        same = labels[graph.neighbours] == labels[:, None]
        assert p[same].mean() > 0.5 > p[~same].mean()


def test_the_context_of_a_sample_is_that_of_a_run(model, run):
    """Both measure the same way."""
    x, graph, result = run
    context = model.context(x, graph)
    for name in type(context).__slots__:
        np.testing.assert_array_equal(getattr(context, name), getattr(result.context, name))


class TestWeights:
    @pytest.fixture
    def folder(self, tmp_path):
        """A folder of usable weights."""
        torch.manual_seed(0)
        config = Config(hidden=8, usable=True, edge_auc=0.9, cosine_auc=0.8, seed=0)
        save_weights(tmp_path / "w", HiLanderNetwork(8), config)
        return tmp_path / "w"

    def test_come_back_as_they_were(self, folder):
        """Every tensor, bit by bit."""
        torch.manual_seed(0)
        expected = HiLanderNetwork(8).state_dict()
        network, config = load_weights(folder)
        assert config.hidden == 8
        for name, value in network.state_dict().items():
            assert torch.equal(value, expected[name])

    def test_unusable_ones_are_refused_unless_asked_for(self, folder):
        """The message has both figures."""
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps(config | {"usable": False, "edge_auc": 0.7}))
        with pytest.raises(WeightsError, match=r"0\.700, plain cosine has 0\.800"):
            load_model(folder)
        assert load_model(folder, allow_unusable=True).config.edge_auc == 0.7

    def test_other_features_are_refused(self, folder):
        """Weights of another version of the features would judge nonsense."""
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps(config | {"edge_features": 37}))
        with pytest.raises(WeightsError, match="edge_features 37; this version of shoal reads 38"):
            load_model(folder)

    def test_those_of_an_older_version_are_refused(self, folder):
        """By their format, before anything else is read."""
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps(config | {"format": 2}))
        with pytest.raises(WeightsError, match="format 2; this version of shoal reads 3"):
            load_model(folder)

    @pytest.mark.parametrize("name", [CONFIG, TENSORS])
    def test_damage_is_named(self, folder, name):
        """A missing or broken file is named."""
        (folder / name).write_text("{}x")
        with pytest.raises(WeightsError, match=name):
            load_model(folder)
        (folder / name).unlink()
        with pytest.raises(WeightsError, match=name):
            load_model(folder)

    def test_tensors_of_another_width_are_refused(self, folder):
        """Config and tensors must be of one network."""
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps(config | {"hidden": 16}))
        with pytest.raises(WeightsError, match=TENSORS):
            load_model(folder)

    def test_the_shipped_ones_are_usable_and_small(self, tmp_path):
        """They load from a copy of their folder too, and take less than a megabyte."""
        shutil.copytree(SHIPPED, tmp_path / "copy")
        config = load_model(tmp_path / "copy").config
        assert config.usable
        assert config.edge_auc > config.cosine_auc
        assert (SHIPPED / TENSORS).stat().st_size < 1_000_000
