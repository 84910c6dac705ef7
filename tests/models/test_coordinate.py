"""The coordinate input: the paper's network, forest and recursion."""

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone

from models import (
    BadInputError,
    HiLander,
    KnnGraph,
    WeightsError,
    cluster,
    evaluate,
    exact_knn,
    load_model,
)
from models.coordinate import tune
from models.coordinate.episode import collection_of, first_lesson, policy_lessons
from models.coordinate.fit import Schedule, balanced, fit, lesson_loss
from models.coordinate.level import contracted, first_level
from models.coordinate.linkage import edge_logits, logits_of
from models.coordinate.model import CoordinateModel
from models.coordinate.network import CoordinateNetwork, row_normalised
from models.coordinate.train import train_coordinate
from models.coordinate.tune import Tuning, best_taus, calibration, first_logits
from models.training.sources import LabelledSet
from models.weights import CONFIG, save_weights

SHORT = Schedule(epochs=15, learning_rate=0.1, batch=400, neighbours=(9, 4), levels=(2, 3))


def labelled(groups, classes=40, size=10, spread=0.6, seed=0):
    """A set of noisy groups."""
    x, labels = groups(classes, size, d=16, spread=spread, seed=seed)
    return LabelledSet(f"set{seed}", x, labels.astype(np.int64), "thing")


@pytest.mark.parametrize(("gain", "expected"), [(0.005, (0.5, 1.0)), (0.02, (0.5, 0.7))])
def test_more_levels_must_be_worth_it(groups, monkeypatch, gain, expected):
    """Levels above the first that gain next to nothing on tuning classes are not added."""
    source = collection_of(labelled(groups, classes=3))
    monkeypatch.setattr(tune, "recursion", lambda *_, tau, **__: [tau])
    monkeypatch.setattr(tune, "final_labels", lambda tau: tau)
    monkeypatch.setattr(
        tune,
        "worth_of_rows",
        lambda _, tau, __: 0.5 + 0.1 * (tau[0] == 0.5) + gain * (tau[1] == 0.7),
    )
    assert best_taus(None, [Tuning(source, torch.zeros(0), np.zeros(0))]) == expected


@pytest.fixture(scope="module")
def trained(groups):
    """A small training on one set."""
    return train_coordinate([labelled(groups)], hidden=64, schedule=SHORT)


@pytest.fixture(scope="module")
def model(trained):
    """What came of it."""
    return CoordinateModel(trained.network, trained.config, "cpu")


def level_of(x, k=9):
    """Vectors and the first level of a collection."""
    graph = exact_knn(x)
    vectors = torch.from_numpy(x)
    tables = torch.from_numpy(graph.neighbours), torch.from_numpy(graph.similarity)
    return vectors, first_level(vectors, *tables, np.ones(len(x), np.int32), k)


class TestNetwork:
    def test_is_the_formula_of_the_paper(self):
        """On four nodes: W [x ; sum a x] + b, then A h_j + B h_i through the head."""
        torch.manual_seed(0)
        network = CoordinateNetwork(3, hidden=8).eval()
        f = torch.nn.functional.normalize(torch.randn(4, 3), dim=1)
        neighbours = torch.tensor([[1, 2], [0, -1], [3, 0], [2, 1]], dtype=torch.int32)
        similarity = torch.tensor([[0.9, 0.3], [0.9, -2.0], [0.5, 0.3], [0.5, 0.1]])
        x = network.inputs(f, f)
        assert torch.allclose(x, torch.cat((f, f), dim=1) * 3**0.5)
        h = network.hidden(x, torch.arange(4), neighbours, similarity)
        conv = network.convolution
        around = 0.75 * x[1] + 0.25 * x[2]
        expected = torch.relu(
            conv.lin_root.weight @ x[0] + conv.lin_rel.weight @ around + conv.lin_rel.bias
        )
        assert torch.allclose(h[0], expected, atol=1e-6)
        z = network.source(h[1]) + network.target(h[0])
        two = network.head(z[None])[0]
        logit = network.logit(network.source(h[1]), network.target(h[0]))
        assert torch.allclose(logit, two[1] - two[0], atol=1e-6)

    def test_attention_reads_features_alone(self, groups):
        """The species variant, also for nodes without a neighbour."""
        network = CoordinateNetwork(16, hidden=8, convolution="gat")
        vectors, level = level_of(groups(4, 5, d=16)[0])
        assert network.inputs(vectors, vectors).shape == (20, 16)
        assert edge_logits(network, vectors, level).shape == (20, 9)
        alone, single = level_of(vectors.numpy()[:1])
        assert torch.isfinite(edge_logits(network, alone, single)).all()

    def test_other_convolutions_are_refused(self):
        """By name, with those that exist."""
        with pytest.raises(BadInputError, match="'sage'; it must be one of graphconv, gat"):
            CoordinateNetwork(4, convolution="sage")

    def test_affinities_sum_to_one(self):
        """Padding and negative similarities count as nothing."""
        weight = row_normalised(
            torch.tensor([[0.6, 0.2, -0.5], [-2.0, -2.0, -2.0]]),
            torch.tensor([[True, True, True], [False, False, False]]),
        )
        assert torch.allclose(weight, torch.tensor([[0.75, 0.25, 0], [0, 0, 0]]))

    def test_a_few_edges_are_judged_as_among_all(self, groups):
        """Reading only the neighbours of neighbours changes nothing."""
        torch.manual_seed(0)
        network = CoordinateNetwork(16, hidden=8).eval()
        vectors, level = level_of(groups(10, 8, d=16, spread=0.8)[0])
        rows = torch.tensor([70, 3, 41])
        few = logits_of(network, vectors, level, rows, level.neighbours[rows])
        assert torch.allclose(few, edge_logits(network, vectors, level)[rows], atol=1e-5)


class TestContraction:
    def test_makes_the_next_level_of_peaks(self):
        """Six rows in two trees: means weigh images, neighbours are joined by some edge."""
        x = np.eye(6, dtype=np.float32) + 0.5
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        vectors = torch.from_numpy(x)
        neighbours = torch.tensor([[1], [0], [1], [4], [3], [3]], dtype=torch.int32)
        similarity = torch.full((6, 1), 0.5)
        counts = np.array([3, 1, 1, 1, 1, 0], np.int32)
        level = first_level(vectors, neighbours, similarity, counts, 1)
        above, node = contracted(vectors, level, np.array([0, 0, 0, 3, 3, 3]), 1)
        assert node.tolist() == [0, 0, 0, 1, 1, 1]
        assert above.peak.tolist() == [0, 3]
        assert above.size.tolist() == [5, 2]
        assert torch.allclose(above.mean[0], (3 * vectors[0] + vectors[1] + vectors[2]) / 5)
        assert above.neighbours.tolist() == [[-1], [-1]]  # no edge of the collection joins them

    def test_keeps_the_nearest_of_those_that_touch(self, groups):
        """Peaks and similarities are those of a search among the joined."""
        vectors, level = level_of(groups(6, 6, d=16, spread=0.9)[0])
        root = np.arange(36) // 2 * 2
        above, _ = contracted(vectors, level, root, 4)
        cosine = (vectors[above.peak] @ vectors[above.peak].T).numpy()
        for i in range(len(above)):
            joined = np.unique(above.b[above.a == i])
            expected = joined[np.argsort(-cosine[i, joined])][:4]
            assert above.neighbours[i].tolist()[: len(expected)] == expected.tolist()


class TestTraining:
    def test_learns_what_it_is_shown(self, trained):
        """The loss falls from epoch to epoch."""
        assert trained.losses[-1] < 0.9 * trained.losses[0]
        assert len(trained.losses) == SHORT.epochs

    def test_the_same_seed_gives_the_same_model(self, groups):
        """Bit by bit; another seed gives another. The reference is unseeded."""
        schedule = Schedule(epochs=2, batch=400)
        one, two, other = (
            train_coordinate([labelled(groups)], hidden=8, schedule=schedule, seed=seed)
            for seed in (0, 0, 1)
        )
        states = [result.network.state_dict() for result in (one, two, other)]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])
        assert one.config == two.config

    def test_upper_levels_are_the_networks_own(self, groups):
        """What is joined follows from its probabilities; the reference joins by true labels."""
        source = collection_of(labelled(groups))
        network = CoordinateNetwork(16, hidden=8).eval()
        with torch.no_grad():  # every edge is sure: whatever can climb does
            network.head[3].bias.copy_(torch.tensor([-9.0, 9.0]))
        lessons = policy_lessons(network, source, 9, 2, np.random.default_rng(0))
        assert len(lessons) == 1
        assert len(lessons[0].level) < 400
        with torch.no_grad():
            network.head[3].bias.copy_(torch.tensor([9.0, -9.0]))  # no edge is
        assert policy_lessons(network, source, 9, 2, np.random.default_rng(0)) == []

    def test_true_densities_are_the_papers(self):
        """Mean similarity to the same class less that to others."""
        x = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
        part = LabelledSet("three", x, np.array([0, 0, 1]), "thing")
        lesson = first_lesson(collection_of(part), 9)
        expected = [(0.8 - 0.0) / 2, (0.8 - 0.6) / 2, (-0.6 - 0.0) / 2]
        np.testing.assert_allclose(lesson.density, expected, atol=1e-6)

    def test_asks_as_many_true_edges_as_false_ones(self):
        """Of those that run to a denser node."""
        asked = torch.tensor([[True, True, True], [True, False, True]])
        same = torch.tensor([[True, True, True], [False, True, True]])
        chosen = balanced(asked, same, np.random.default_rng(0))
        assert same.reshape(-1)[chosen].sum() == 1
        assert len(chosen) == 2

    def test_the_loss_has_a_gradient_for_everything(self, groups):
        """Also for a batch of a single node."""
        torch.manual_seed(0)
        network = CoordinateNetwork(16, hidden=8)
        lesson = first_lesson(collection_of(labelled(groups)), 9)
        lesson_loss(network, lesson, torch.arange(30), np.random.default_rng(0)).backward()
        assert all(weight.grad is not None for weight in network.parameters())
        loss = lesson_loss(network, lesson, torch.tensor([5]), np.random.default_rng(0))
        assert torch.isfinite(loss)

    def test_other_dimensions_are_refused(self, groups):
        """Coordinates are learnt for one encoder."""
        other = labelled(groups, seed=1).with_unit(np.ones((400, 5), np.float32))
        with pytest.raises(BadInputError, match="set1 has 5 dimensions and set0 16"):
            train_coordinate([labelled(groups), other])

    def test_probabilities_are_calibrated(self, groups):
        """On the classes that tuned them, they are right on average."""
        network = CoordinateNetwork(16, hidden=32)
        learn, tune = (collection_of(labelled(groups, seed=seed)) for seed in (0, 0))
        fit(network, [learn], Schedule(epochs=5, learning_rate=0.1, batch=256), 0, lambda _: None)
        logits = first_logits(network, tune)
        slope, offset = calibration([Tuning(tune, logits, np.arange(400))])
        p = (slope * logits + offset).sigmoid().detach().numpy()
        same = tune.labels[tune.neighbours[:, :9]] == tune.labels[:, None]
        assert p.mean() == pytest.approx(same.mean(), abs=0.02)


class TestModel:
    def test_clusters_what_it_learnt(self, model, groups):
        """Far better than all-in-one or all-alone."""
        x, labels = groups(40, 10, d=16, spread=0.6, seed=0)
        result = cluster(x, model=model)
        assert evaluate(labels, result.labels).bcubed_f > 0.4
        assert result.method == "hi-lander (coordinate)"
        assert 0 <= result.expected_f <= 1
        assert result.labels[result.exemplars].tolist() == list(range(len(result.exemplars)))

    def test_levels_are_nested_and_the_last_is_published(self, model, groups):
        """From fine to coarse."""
        result = cluster(groups(40, 10, d=16, spread=0.6)[0], model=model)
        assert result.level == len(result.levels) - 1
        for fine, coarse in zip(result.levels, result.levels[1:], strict=False):
            assert len(np.unique(np.stack((fine, coarse), axis=1), axis=0)) == fine.max() + 1

    def test_edges_are_those_of_a_run(self, model, groups):
        """In any order, only the first, and 0 at padding."""
        x, _ = groups(10, 10, d=16)
        graph = exact_knn(x)
        context = model.context(x, graph)
        every = model.edge_probabilities(x, graph, np.arange(100), context)
        few = model.edge_probabilities(x, graph, np.array([9, 2]), context, first=3)
        np.testing.assert_allclose(few[:, :3], every[[9, 2], :3], atol=1e-5)
        assert not few[:, 3:].any()
        assert model.edge_probabilities(x, graph, np.zeros(0, np.int64), context).shape == (0, 30)

    def test_collections_that_say_little(self, model, groups):
        """Dead rows alone, hardly any rows, and copies, which are one node, are no errors."""
        x, _ = groups(10, 10, d=16)
        context = model.context(x, exact_knn(x))
        nothing = model.cluster(x, exact_knn(x), np.zeros(100, np.int32))
        assert (nothing.labels == -1).all()
        assert not nothing.confidence.any()
        assert len(nothing.exemplars) == 0
        for n in range(4):
            assert len(cluster(x[:n], model=model).labels) == n
        none = KnnGraph(np.zeros((1, 0), np.int32), np.zeros((1, 0), np.float32))
        assert model.cluster(x[:1], none).labels.tolist() == [0]
        assert model.edge_probabilities(x[:1], none, np.arange(1), context).shape == (1, 0)
        copies = cluster(np.concatenate((x, np.repeat(x[:1], 100, axis=0))), model=model)
        assert (copies.labels[100:] == copies.labels[0]).all()
        np.testing.assert_array_equal(copies.labels[:100], cluster(x, model=model).labels)

    def test_dead_rows_that_are_listed_are_ignored(self, model, groups):
        """The living get what they get alone."""
        x, _ = groups(40, 10, d=16, spread=0.6, seed=0)
        counts = np.tile([1, 0], 200).astype(np.int32)
        expected = model.cluster(x[::2], exact_knn(x[::2]))
        actual = model.cluster(x, exact_knn(x, 120), counts)
        np.testing.assert_array_equal(actual.labels[::2], expected.labels)
        assert (actual.labels[1::2] == -1).all()

    def test_nothing_is_to_be_known_of_a_collection_that_grows(self, model, groups):
        """The context of before serves."""
        x, _ = groups(10, 10, d=16)
        context = model.context(x, exact_knn(x))
        assert context.grown(x, exact_knn(x).neighbours) is context

    def test_another_dimension_is_refused(self, model):
        """Both are named."""
        with pytest.raises(BadInputError, match=r"3 dimensions; this model was trained on 16"):
            cluster(np.eye(3), model=model)

    def test_is_saved_and_loaded_like_the_shipped_one(self, model, trained, groups, tmp_path):
        """Refused where the gate was not passed, and the same after a round trip."""
        save_weights(tmp_path, trained.network, trained.config)
        config = json.loads((tmp_path / CONFIG).read_text())
        (tmp_path / CONFIG).write_text(json.dumps(config | {"usable": False}))
        with pytest.raises(WeightsError, match="average linkage"):
            load_model(tmp_path)
        loaded = load_model(tmp_path, "cpu", allow_unusable=True)
        x, _ = groups(10, 10, d=16)
        expected = cluster(x, model=model)
        np.testing.assert_array_equal(cluster(x, model=loaded).labels, expected.labels)
        clusterer = clone(HiLander.load(tmp_path, "cpu", allow_unusable=True))
        np.testing.assert_array_equal(clusterer.fit_predict(x), expected.labels)
        (tmp_path / CONFIG).write_text(json.dumps(config | {"convolution": "sage"}))
        with pytest.raises(WeightsError, match="sage"):
            load_model(tmp_path, allow_unusable=True)
