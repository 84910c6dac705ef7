import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest

from models import (
    BadInputError,
    HiLander,
    KnnGraph,
    WeightsError,
    calibrated,
    cluster,
    exact_knn,
)
from models.vectors import unit_rows

# Not passed on purpose: rows of zeros have no direction and are refused; a collection of no images
# is a collection.
NOT_OURS = {
    "check_estimators_dtypes": "feeds rows of zeros",
    "check_estimators_empty_data_messages": "wants no rows to be an error",
}


@pytest.fixture(scope="module")
def images(groups):
    """Twenty groups of ten: features, labels."""
    return groups(20, 10)


@pytest.fixture(scope="module")
def fitted(images):
    """A clusterer after `fit`."""
    return HiLander(device="cpu").fit(images[0])


class TestFit:
    def test_gives_what_cluster_gives(self, fitted, images):
        """Labels, probabilities, levels, exemplars and the expected F of the same run."""
        result = cluster(images[0], device="cpu")
        np.testing.assert_array_equal(fitted.labels_, result.labels)
        np.testing.assert_array_equal(fitted.probabilities_, result.confidence)
        np.testing.assert_array_equal(fitted.exemplars_, result.exemplars)
        assert len(fitted.levels_) == len(result.levels)
        assert (fitted.expected_f_, fitted.n_features_in_) == (result.expected_f, 32)

    def test_says_how_and_how_well(self, fitted, images):
        """Method and reason, and precision and recall as the run expects them."""
        result = cluster(images[0], device="cpu")
        assert (fitted.method_, fitted.reason_) == (result.method, result.reason)
        assert fitted.expected_precision_ == result.expected_precision
        assert fitted.expected_recall_ == result.expected_recall

    def test_takes_answers(self, groups):
        """It picks pairs, and is cut anew by what is said of them."""
        x, labels = groups(20, 30, spread=1.1, seed=3)
        clusterer = HiLander(device="cpu").fit(x)
        pairs = clusterer.ask(60)
        same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
        run = clusterer.result_
        expected = calibrated(run, pairs, same)
        np.testing.assert_array_equal(clusterer.calibrate(pairs, same).labels_, expected.labels)
        np.testing.assert_array_equal(clusterer.calibrate(pairs, same).labels_, expected.labels)
        np.testing.assert_array_equal(clusterer.ask(60), pairs)
        assert clusterer.method_ == "hi-lander cut by answers"
        np.testing.assert_array_equal(clusterer.calibrate([], []).labels_, run.labels)

    def test_takes_answers_after_fit_only(self):
        """There is nothing to ask about before."""
        with pytest.raises(BadInputError, match="call fit before"):
            HiLander(device="cpu").ask()

    def test_obeys_its_parameters(self, digits):
        """Told of larger groups, it makes larger groups."""
        clusterer = HiLander(device="cpu")
        many = clusterer.fit_predict(digits[0][:600])
        few = clusterer.set_params(granularity="kind", group_size=60).fit_predict(digits[0][:600])
        assert few.max() < many.max()

    def test_obeys_them_wherever_it_is_a_model(self, digits):
        """Of `cluster`, with or without a graph, and of itself; what is said there goes first."""
        x = unit_rows(digits[0][:600])
        graph, counts = exact_knn(x), np.ones(600, np.int32)
        clusterer = HiLander(granularity="kind", group_size=60, random_state=3, device="cpu")
        expected = clusterer.fit_predict(x)
        for result in (
            cluster(x, model=clusterer),
            cluster(x, model=clusterer, graph=graph),
            cluster(x, model=clusterer, graph=graph, counts=counts),
            clusterer.cluster(x, graph),
        ):
            np.testing.assert_array_equal(result.labels, expected)
        plain = cluster(x, device="cpu", seed=3)
        assert plain.labels.max() > expected.max()
        said = {"granularity": "thing", "group_size": None}
        np.testing.assert_array_equal(cluster(x, model=clusterer, **said).labels, plain.labels)

    def test_obeys_them_where_it_measures(self, groups):
        """The context has its word, its size, and the sample of its random state."""
        x, _ = groups(50, 100, d=8)
        graph = exact_knn(x, 5)
        clusterer = HiLander(granularity="kind", group_size=60, random_state=3, device="cpu")
        context = clusterer.context(x, graph)
        assert context.conditions.tolist() == pytest.approx([np.log(60), 0, 0, 1])
        model, numbers = clusterer.model, context.numbers.tolist()
        assert numbers == model.context(x, graph, seed=3).numbers.tolist()
        assert numbers != model.context(x, graph).numbers.tolist()

    def test_takes_a_graph_that_is_at_hand(self, fitted, images):
        """The exact graph gives what it builds itself."""
        labels = HiLander(device="cpu").fit_predict(images[0], graph=exact_knn(images[0]))
        np.testing.assert_array_equal(labels, fitted.labels_)

    def test_takes_a_graph_of_scikit_learn(self, fitted, images):
        """Sparse, of cosine distances, with or without each row itself."""
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(metric="cosine").fit(images[0])
        for queries, k in ((None, 30), (images[0], 31)):
            graph = search.kneighbors_graph(queries, k, mode="distance")
            labels = HiLander(device="cpu").fit_predict(images[0], graph=graph)
            np.testing.assert_array_equal(labels, fitted.labels_)

    @pytest.mark.parametrize("graph", [np.eye(200), "graph"])
    def test_refuses_what_is_no_graph(self, images, graph):
        """The message says what a graph is."""
        with pytest.raises(BadInputError, match="must be a KnnGraph or a sparse"):
            HiLander(device="cpu").fit(images[0], graph=graph)

    def test_refuses_a_graph_of_other_rows(self, images):
        """The graph must have a row for each row."""
        with pytest.raises(BadInputError, match="graph has 9 rows"):
            HiLander(device="cpu").fit(images[0], graph=exact_knn(images[0][:9]))


class TestParameters:
    def test_are_those_of_the_constructor(self):
        """What was given comes back, and other names are refused."""
        clusterer = HiLander(granularity="shot", group_size=5, device="cpu")
        assert HiLander(**clusterer.get_params()).get_params() == clusterer.get_params()
        with pytest.raises(BadInputError, match="'eps' is no parameter of HiLander"):
            clusterer.set_params(eps=0.5)

    def test_other_weights_are_loaded_when_the_parameter_changes(self, tmp_path):
        """Not those that were in use before."""
        clusterer = HiLander.load(device="cpu")
        clusterer.set_params(weights=tmp_path)
        with pytest.raises(WeightsError, match=r"config\.json"):
            clusterer.fit(np.eye(3))


def test_is_a_clusterer_to_scikit_learn():
    """Every check of scikit-learn for estimators that it means to pass."""
    from sklearn.base import is_clusterer
    from sklearn.utils.estimator_checks import check_estimator

    clusterer = HiLander(device="cpu")
    assert is_clusterer(clusterer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checks = check_estimator(
            clusterer, expected_failed_checks=NOT_OURS, on_fail=None, on_skip=None
        )
    failed = {check["check_name"] for check in checks if check["status"] in {"failed", "xfail"}}
    assert failed == set(NOT_OURS)


def test_serves_as_a_model(images):
    """Vectors and graph in, as a service has them."""
    model = HiLander.load(device="cpu")
    graph = exact_knn(images[0])
    result = model.cluster(images[0], graph, granularity="shot")
    context = model.context(images[0], graph, granularity="shot")
    rows = np.arange(5)
    np.testing.assert_array_equal(
        model.edge_probabilities(images[0], graph, rows, context),
        model.edge_probabilities(images[0], graph, rows, result.context),
    )


def test_rows_of_a_sparse_graph_may_have_different_lengths():
    """Sorted by falling similarity and padded."""
    from scipy.sparse import csr_matrix

    from models.sparse_graph import knn_graph

    distance = csr_matrix(
        (np.array([0.5, 0.1, 0.2]), np.array([1, 2, 0]), np.array([0, 2, 3, 3])), shape=(3, 3)
    )
    graph = knn_graph(distance)
    assert isinstance(graph, KnnGraph)
    assert graph.neighbours.tolist() == [[2, 1], [0, -1], [-1, -1]]
    np.testing.assert_allclose(graph.similarity, [[0.9, 0.5], [0.8, -2], [-2, -2]])


def test_a_hub_in_a_sparse_graph_takes_no_memory():
    """A row that thousands list, and that lists them, has no longer list than others."""
    from scipy.sparse import coo_matrix

    from models.sparse_graph import knn_graph

    n = 5_000
    others, hub = np.arange(1, n), np.zeros(n - 1, np.int64)
    entries = (np.concatenate((others, hub)), np.concatenate((hub, others)))
    distance = np.tile(np.linspace(0.5, 0.1, n - 1), 2)
    symmetric = coo_matrix((distance, entries), shape=(n, n))
    tracemalloc.start()
    graph = knn_graph(symmetric)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 << 20
    assert graph.neighbours[0].tolist() == list(range(n - 1, n - 31, -1))
    assert (graph.neighbours[1:, 0] == 0).all()


def test_needs_no_scikit_learn():
    """It clusters where scikit-learn cannot be imported."""
    code = (
        "import sys; sys.modules['sklearn'] = None; import numpy as np;"
        "from models import HiLander; print(HiLander(device='cpu').fit_predict(np.eye(4)).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "(4,)"
