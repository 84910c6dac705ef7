import numpy as np
import pytest

from models import cluster, evaluate
from models.calibration import assignment_truth
from models.certainty import assignment_features, log_odds
from models.cut import confidence, cut_at
from models.network import ASSIGNMENT_FEATURES
from models.tree import MergeTree

# (0, 1) and then 2 join; 3 and 4 stay apart; a merge of all that no cut at .5 keeps.
TREE = MergeTree(
    5, np.array([0, 5, 6]), np.array([1, 2, 3]), np.array([0.9, 0.6, 0.1]), np.array([0, 1, 2, 3])
)


@pytest.fixture(scope="module")
def noisy(model, groups):
    """Features, labels and result of groups that run into each other."""
    x, labels = groups(20, 30, spread=1.1, seed=3)
    return x, labels, cluster(x, model=model)


class TestAssignmentFeatures:
    @pytest.fixture
    def columns(self):
        """The columns for one image a row."""
        counts = np.ones(5, np.int32)
        top = cut_at(TREE, TREE.sizes(counts), 0.5)
        features = assignment_features(TREE, counts, top)
        assert features.shape == (5, ASSIGNMENT_FEATURES)
        assert features.dtype == np.float32
        sure = confidence(TREE, counts, top)
        return sure, dict(
            zip(
                ["own", "mean", "first", "last", "weakest", "above", "alone", "size", "relative"],
                features.T,
                strict=True,
            )
        )

    def test_say_how_a_row_came_into_its_cluster(self, columns):
        """Its first merge, the cluster's last, the weakest of both, and the one that was undone."""
        _, seen = columns
        likely, late, undone = log_odds(np.array([0.9, 0.6, 0.1]))
        np.testing.assert_allclose(seen["first"][:3], [likely, likely, late], rtol=1e-5)
        np.testing.assert_allclose(seen["last"][:3], late, rtol=1e-5)
        np.testing.assert_allclose(seen["weakest"][:3], late, rtol=1e-5)
        np.testing.assert_allclose(seen["above"][:4], undone, rtol=1e-5)
        np.testing.assert_allclose(seen["size"][:3], np.log(3), rtol=1e-6)

    def test_rows_alone_have_no_merges(self, columns):
        """Zero in their place, and a mark."""
        _, seen = columns
        assert seen["alone"].tolist() == [0, 0, 0, 1, 1]
        assert not seen["first"][3:].any()
        assert not seen["weakest"][3:].any()

    def test_compare_a_row_with_its_cluster(self, columns):
        """The mean of the members' log odds beside its own."""
        sure, seen = columns
        np.testing.assert_allclose(seen["own"], log_odds(sure), rtol=1e-5)
        np.testing.assert_allclose(seen["mean"][:3], log_odds(sure[:3]).mean(), rtol=1e-5)


class TestCertainty:
    def test_precision_is_that_of_the_image_pairs(self, noisy):
        """The mean confidence, weighted by the company of each image."""
        _, _, result = noisy
        company = np.bincount(result.labels)[result.labels] - 1
        expected = (result.confidence * company).sum() / company.sum()
        assert result.expected_precision == pytest.approx(expected, rel=1e-5)

    def test_f_follows_from_precision_and_recall(self, noisy):
        """Their harmonic mean."""
        _, _, result = noisy
        p, r = result.expected_precision, result.expected_recall
        assert result.expected_f == pytest.approx(2 * p * r / (p + r))

    def test_is_not_far_from_the_truth(self, noisy):
        """Of groups like those that were made up for the training."""
        _, labels, result = noisy
        assert abs(result.expected_f - evaluate(labels, result.labels).pairwise_f) < 0.2

    def test_copies_alone_are_certain(self, model, groups):
        """Two equal images that nothing else is like: their company is beyond doubt."""
        x, _ = groups(4, 10, spread=0.2)
        far = np.zeros((2, x.shape[1]), np.float32)
        far[:, 0] = -1
        result = cluster(np.concatenate((x, far)), model=model)
        assert result.labels[-1] == result.labels[-2]
        if (result.labels == result.labels[-1]).sum() == 2:
            np.testing.assert_allclose(result.confidence[-2:], 1)

    def test_images_with_nothing_in_common_leave_no_doubt(self, model):
        """No merge, no promise to judge: each is alone for certain."""
        result = cluster(np.eye(60), model=model)
        assert len(result.exemplars) == 60
        assert (result.confidence == 1).all()
        assert result.expected_f == 1


def test_assignment_truth_is_what_confidence_claims():
    """The share of true company; of an image alone, whether its class is."""
    labels = np.array([0, 0, 1, 1, 2, 0])
    clusters = np.array([0, 0, 0, 1, 2, 3])
    assert assignment_truth(labels, clusters).tolist() == [0.5, 0.5, 0, 0, 1, 0]
