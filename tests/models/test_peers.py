"""The clusterings to compare with."""

import numpy as np
import pytest

from models import evaluate
from models.calibration import calibration_error, reliability_bins
from models.peers.choose import best_parameter, worth, worth_of_rows
from models.peers.components import Components, components
from models.peers.density import Density, noise_alone, sklearn_hdbscan
from models.peers.finch import Finch
from models.peers.linkage import AverageLinkage
from models.peers.linker import Linker
from models.training.sources import LabelledSet


@pytest.mark.parametrize("kind", [AverageLinkage, Components, Finch])
def test_separated_groups_are_found_with_the_best_parameter(kind, groups):
    """Fifteen groups of ten, by each way of cutting."""
    x, labels = groups(15, 10)
    cuts = kind(x)
    assert worth(labels, cuts.labels(best_parameter(cuts, labels))) > 0.9


@pytest.mark.parametrize("kind", [AverageLinkage, Components, Finch])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_rows_are_no_error(kind, n):
    """A label each, for every parameter."""
    cuts = kind(np.eye(3, dtype=np.float32)[:n])
    for parameter in cuts.parameters():
        assert cuts.labels(parameter).shape == (n,)


def test_average_linkage_is_that_of_scipy(groups):
    """The same heights, and the same clusters at any of them."""
    from scipy.cluster.hierarchy import fcluster, linkage

    x, _ = groups(8, 12, spread=1.0)
    ours = AverageLinkage(x)
    tree = linkage(x.astype(np.float64), "average", "cosine")
    np.testing.assert_allclose(np.sort(ours.height), np.sort(tree[:, 2]), atol=1e-5)
    for height in (tree[20, 2] + 1e-4, tree[70, 2] + 1e-4):
        expected = fcluster(tree, height, "distance")
        assert evaluate(expected, ours.labels(height)).nmi == pytest.approx(1)


def test_components_join_along_a_chain():
    """However long; the others stay alone."""
    a, b = np.arange(99)[::-1], np.arange(1, 100)[::-1]
    labels = components(101, a, b)
    assert labels.tolist() == [0] * 100 + [1]


def test_noise_is_a_cluster_each():
    """Rows labelled -1 are not one cluster."""
    assert noise_alone(np.array([-1, 0, -1, 0])).tolist() == [1, 0, 2, 0]


def test_hdbscan_takes_a_smallest_size(groups):
    """Or its defaults."""
    x, labels = groups(10, 12)
    peer = Density(x, sklearn_hdbscan)
    assert worth(labels, peer.labels()) > 0.8
    assert peer.parameters()[0] == 2


def test_the_linker_learns_edges_and_a_threshold(groups):
    """In its own domain it groups classes that it never saw."""
    x, labels = groups(60, 12, spread=0.7)
    other, truth = groups(20, 12, spread=0.7, seed=1)
    train = LabelledSet("train", x, labels.astype(np.int64), "thing")
    assert worth(truth, Linker(train, 0).labels(other)) > 0.8


def test_worth_of_all_rows_is_worth():
    """And of some rows it counts the strangers that are with them."""
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 9, 80), rng.integers(0, 7, 80)
    assert worth_of_rows(truth, found, np.arange(80)) == pytest.approx(worth(truth, found))
    truth, apart, joined = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), np.zeros(4, int)
    rows = np.array([0, 1])
    assert worth_of_rows(truth, apart, rows) == 1
    assert worth_of_rows(truth, joined, rows) < 0.75


def test_calibration_error_is_what_was_said_less_what_was_true():
    """Eight edges of .75, six of them true, and two of .25, of which one is."""
    p = np.array([0.75] * 8 + [0.25] * 2, np.float32)
    truth = np.array([True] * 6 + [False] * 2 + [True, False])
    bins = reliability_bins(p, truth)
    assert bins[:, 2].sum() == 10
    assert calibration_error(bins) == pytest.approx(0.2 * 0.25)
