import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score, pair_confusion_matrix

from models import BadInputError, bcubed_f, evaluate, nmi, pairwise_f

LABELS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40)


class TestByHand:
    """Five images: classes {0,1,2} {3,4}, clusters {0,1} {2,3,4}."""

    true, pred = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])

    def test_pairwise(self):
        """Two of four clustered pairs are right, two of four class pairs are found."""
        scores = evaluate(self.true, self.pred)
        assert scores.pairwise_precision == pytest.approx(2 / 4)
        assert scores.pairwise_recall == pytest.approx(2 / 4)
        assert pairwise_f(self.true, self.pred) == pytest.approx(1 / 2)

    def test_bcubed(self):
        """Precision (1 + 1 + 1/3 + 2/3 + 2/3) / 5, recall (2/3 + 2/3 + 1/3 + 1 + 1) / 5."""
        scores = evaluate(self.true, self.pred)
        assert scores.bcubed_precision == pytest.approx(11 / 15)
        assert scores.bcubed_recall == pytest.approx(11 / 15)
        assert bcubed_f(self.true, self.pred) == pytest.approx(11 / 15)


class TestAgainstOthers:
    @given(LABELS)
    def test_nmi_is_that_of_scikit_learn(self, labels):
        """The arithmetic-mean NMI agrees."""
        true, pred = np.array(labels).T
        expected = normalized_mutual_info_score(true, pred)
        assert nmi(true, pred) == pytest.approx(expected, abs=1e-9)

    @given(LABELS)
    def test_pairs_are_those_of_scikit_learn(self, labels):
        """Precision and recall over pairs agree, 0/0 counting as 0."""
        true, pred = np.array(labels).T
        (_, wrong), (missed, right) = pair_confusion_matrix(true, pred)
        scores = evaluate(true, pred)
        precision = right / (right + wrong) if right + wrong else 0
        recall = right / (right + missed) if right + missed else 0
        assert scores.pairwise_precision == pytest.approx(precision)
        assert scores.pairwise_recall == pytest.approx(recall)


class TestEdges:
    def test_unknown_labels_are_left_out(self):
        """Images with -1 on either side change nothing."""
        scores = evaluate([0, 0, 1, -1, 1], [0, 0, 1, 0, -1])
        assert (scores.images, scores.pairwise_f, scores.bcubed_f) == (3, 1.0, 1.0)

    def test_all_singletons_have_no_pairs(self):
        """0/0 counts as 0 for pairs; BCubed and NMI are perfect."""
        scores = evaluate([0, 1, 2], [5, 6, 7])
        assert (scores.pairwise_f, scores.bcubed_f, scores.nmi) == (0.0, 1.0, 1.0)

    def test_nothing_at_all(self):
        """No image scores 0 everywhere, without an error."""
        scores = evaluate([], [])
        assert (scores.images, scores.pairwise_f, scores.bcubed_f, scores.nmi) == (0, 0, 0, 0)

    def test_names_of_labels_do_not_matter(self):
        """Any whole numbers will do as names."""
        assert evaluate([7, 7, 900], [3, 3, 0]).pairwise_f == 1.0

    @pytest.mark.parametrize(("true", "pred"), [([0, 1], [0]), ([0.5, 1], [0, 1]), ([[0]], [0])])
    def test_refuses_what_are_no_labels(self, true, pred):
        """Lengths that differ and labels that are no whole numbers are refused."""
        with pytest.raises(BadInputError, match="labels_"):
            evaluate(true, pred)
