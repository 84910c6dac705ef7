import numpy as np
import pytest

from models import BadInputError, ask, calibrated, cluster, evaluate
from models.facts import corrected, meeting_merges
from models.tree import MergeTree

TREE = MergeTree(
    5, np.array([0, 2, 5]), np.array([1, 3, 6]), np.array([0.9, 0.6, 0.2]), np.array([0, 2, 3])
)


@pytest.fixture(scope="module")
def noisy(model, groups):
    """Features, labels and result of groups that run into each other."""
    x, labels = groups(20, 30, spread=1.1, seed=3)
    return x, labels, cluster(x, model=model)


class TestAsk:
    def test_gives_pairs_of_rows(self, noisy):
        """Two different rows each, the smaller first, no pair twice."""
        x, _, result = noisy
        pairs = ask(result, 100)
        assert 0 < len(pairs) <= 100
        assert (pairs[:, 0] < pairs[:, 1]).all()
        assert pairs.max() < len(x)
        assert len(np.unique(pairs, axis=0)) == len(pairs)

    def test_gives_as_many_as_it_is_asked_for(self, model, groups):
        """Where there are so many pairs of images, none of which tells much more than others."""
        x, _ = groups(100, 2, d=64, spread=0.7)
        assert len(ask(cluster(x, model=model, granularity="shot"), 80)) == 80

    def test_is_the_same_every_time(self, noisy):
        """For one seed."""
        np.testing.assert_array_equal(ask(noisy[2], 50), ask(noisy[2], 50))

    def test_asks_nothing_where_nothing_met(self, model):
        """One image gives no pair."""
        assert ask(cluster(np.ones((3, 4)), model=model)).shape == (0, 2)

    def test_refuses_to_ask_nothing(self, noisy):
        """At least one pair."""
        with pytest.raises(BadInputError, match="count is 0"):
            ask(noisy[2], 0)


class TestCalibrated:
    def test_true_answers_do_not_make_it_worse(self, noisy):
        """A hundred of them, over groups that are hard to tell apart."""
        _, labels, result = noisy
        pairs = ask(result, 100)
        better = calibrated(result, pairs, labels[pairs[:, 0]] == labels[pairs[:, 1]])

        def worth(found):
            scores = evaluate(labels, found)
            return (scores.pairwise_f + scores.bcubed_f) / 2

        assert worth(better.labels) >= worth(result.labels) - 0.02
        assert better.reason == f"cut by {len(pairs)} answers"
        np.testing.assert_array_equal(better.levels[better.level], better.labels)

    def test_answers_turn_the_cut(self, noisy):
        """All the same: larger clusters. All different: smaller ones."""
        result = noisy[2]
        pairs = ask(result, 100)
        clusters = [
            len(calibrated(result, pairs, np.full(len(pairs), answer)).exemplars)
            for answer in (True, False)
        ]
        assert clusters[0] <= len(result.exemplars) <= clusters[1]
        assert clusters[0] < clusters[1]

    def test_answers_are_not_counted_twice(self, noisy):
        """What a result was told before has no part in what it is told now."""
        _, labels, result = noisy
        pairs = ask(result, 100)
        same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
        once = calibrated(result, pairs, same)
        wrong = calibrated(result, pairs, ~same)
        for before in (once, wrong):
            again = calibrated(before, pairs, same)
            np.testing.assert_array_equal(again.labels, once.labels)
            assert again.expected_f == once.expected_f
        np.testing.assert_array_equal(ask(once, 100), pairs)

    def test_no_answers_change_nothing(self, noisy):
        """None at all is no error."""
        assert calibrated(noisy[2], [], []) is noisy[2]

    @pytest.mark.parametrize("answer", [-1, np.nan, 2, "no", None])
    def test_refuses_what_is_no_answer(self, noisy, answer):
        """True and false, or 1 and 0, are answers; whatever else counts as none of them."""
        with pytest.raises(BadInputError, match="each must be true or false"):
            calibrated(noisy[2], [[1, 2]], [answer])

    def test_names_the_row_that_is_not_there(self, noisy):
        """Below the first, too."""
        with pytest.raises(BadInputError, match="pairs names row -1"):
            calibrated(noisy[2], [[-1, 3]], [True])

    def test_pairs_that_never_met_change_nothing(self, noisy):
        """An image and itself tells nothing."""
        result = noisy[2]
        assert calibrated(result, np.array([[4, 4]]), np.array([True])) is result

    @pytest.mark.parametrize(
        ("pairs", "same", "message"),
        [
            (np.zeros((2, 3), int), [True, True], "pairs is"),
            (np.array([[0, 1]]), [True, False], "same has shape"),
            (np.array([[0, 10_000]]), [True], "names row 10000"),
        ],
    )
    def test_refuses_what_does_not_fit(self, noisy, pairs, same, message):
        """By name."""
        with pytest.raises(BadInputError, match=message):
            calibrated(noisy[2], pairs, same)


class TestMeetingMerges:
    def test_are_the_first_that_join_both(self):
        """Their lowest common node; -1 for a leaf and itself, and for leaves that never meet."""
        leaves = np.array([[0, 1], [3, 2], [1, 2], [0, 0], [0, 4]])
        assert meeting_merges(TREE, leaves).tolist() == [0, 1, 2, -1, -1]


class TestCorrected:
    def test_no_answer_is_believed_alone(self):
        """One answer moves the probabilities a little, many a lot, all the same way."""
        counts = np.ones(5, np.int32)
        one = corrected(TREE, counts, np.array([1]), np.array([False]))
        many = corrected(TREE, counts, np.full(50, 1), np.full(50, False))
        assert (many.probability < one.probability).all()
        assert (one.probability < TREE.probability).all()

    @pytest.mark.parametrize("same", [False, True])
    def test_answers_against_sure_merges_are_believed(self, same):
        """However sure the model was, fifty answers that it is wrong turn it round."""
        tree = pairs_with(np.linspace(3, 7, 50) * (-1 if same else 1))
        found = corrected(tree, np.ones(100, np.int32), np.arange(50), np.full(50, same))
        assert ((found.probability > 0.5) == same).all()

    def test_mixed_answers_about_sure_merges_are_weighed(self):
        """Where a third of them say "same", about a third is what all are given."""
        rng = np.random.default_rng(0)
        same, tree = rng.random(60) < 0.3, pairs_with(rng.normal(3, 1, 60))
        found = corrected(tree, np.ones(120, np.int32), np.arange(60), same)
        assert found.probability.mean() == pytest.approx(same.mean(), abs=0.1)


def pairs_with(odds):
    """A tree of one level in which two rows each merge at log odds of `odds`."""
    rows = np.arange(0, 2 * len(odds), 2)
    return MergeTree(
        2 * len(odds), rows, rows + 1, 1 / (1 + np.exp(-odds)), np.array([0, len(odds)])
    )
