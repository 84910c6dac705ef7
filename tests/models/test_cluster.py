import numpy as np
import pytest

from models import BadInputError, KnnGraph, cluster, evaluate, exact_knn


class TestSizes:
    @pytest.mark.parametrize("n", [0, 1, 2, 3, 29, 30, 31, 32])
    def test_any_number_of_rows(self, model, n):
        """Nothing, one row, two, k, k + 1: each row has a label, a confidence and its levels."""
        x = np.random.default_rng(n).standard_normal((n, 8))
        result = cluster(x, model=model)
        assert result.labels.shape == result.confidence.shape == (n,)
        assert (result.labels.dtype, result.confidence.dtype) == (np.int64, np.float32)
        assert sorted(set(result.labels.tolist())) == list(range(len(result.exemplars)))
        assert ((result.confidence >= 0) & (result.confidence <= 1)).all()
        np.testing.assert_array_equal(result.levels[result.level], result.labels)

    def test_all_identical_rows_are_one_certain_cluster(self, model):
        """Many more copies than neighbours in the graph are no island."""
        result = cluster(np.ones((100, 5)), model=model)
        assert not result.labels.any()
        assert result.confidence.tolist() == [1.0] * 100
        assert result.expected_f == 1.0

    def test_every_image_its_own_cluster(self, model):
        """Random directions in a large space: whatever it answers, it says that it is no good."""
        x = np.random.default_rng(0).standard_normal((200, 128))
        result = cluster(x, model=model)
        assert len(result.labels) == 200
        assert result.expected_f < 0.5

    @pytest.mark.parametrize("n", [2, 5, 16, 32, 64])
    def test_orthogonal_images_stay_alone(self, model, n):
        """They have nothing in common, whatever the graph looks like."""
        result = cluster(np.eye(n, 100), model=model)
        assert result.labels.tolist() == list(range(n))


class TestQuality:
    def test_separated_groups_are_found(self, model, groups):
        """Thirty groups of twenty come out as they went in."""
        x, labels = groups(30, 20)
        assert evaluate(labels, cluster(x, model=model).labels).pairwise_f > 0.95

    def test_few_images_are_grouped_too(self, model, groups):
        """Forty images in four groups: less than two lists of neighbours."""
        x, labels = groups(4, 10)
        assert evaluate(labels, cluster(x, model=model).labels).pairwise_f > 0.9

    def test_digits_it_never_saw(self, model, digits):
        """Pixels of scanned digits are clustered far better than all-in-one or all-alone."""
        x, labels = digits
        scores = evaluate(labels, cluster(x, model=model).labels)
        assert scores.pairwise_precision > 0.8
        assert scores.bcubed_f > 0.4
        assert scores.nmi > 0.7

    def test_the_size_dial_turns_the_right_way(self, model, digits):
        """Told of larger groups, it makes larger groups."""
        x, _ = digits
        few = cluster(x, model=model, group_size=180)
        many = cluster(x, model=model, group_size=4)
        assert len(few.exemplars) < len(many.exemplars)

    def test_no_rotation_changes_the_result(self, model, groups, same_partition):
        """The same images by an encoder that differs by a rotation."""
        x, _ = groups(20, 15, spread=0.5)
        turn = np.linalg.qr(np.random.default_rng(1).standard_normal((32, 32)))[0]
        assert same_partition(cluster(x, model=model).labels, cluster(x @ turn, model=model).labels)


class TestRows:
    def test_lengths_do_not_matter(self, model, groups):
        """Rows are normalised, so any positive scale gives the same labels."""
        x, _ = groups(10, 10)
        scale = np.random.default_rng(0).uniform(0.01, 100, (100, 1))
        expected = cluster(x, model=model)
        actual = cluster(x.astype(np.float64) * scale, model=model)
        np.testing.assert_array_equal(actual.labels, expected.labels)

    def test_copies_share_a_cluster(self, model, groups):
        """Ninety copies of one row and two of every other: each with its original."""
        x, _ = groups(10, 10)
        order = np.concatenate((np.arange(100), np.arange(100), np.zeros(90, int)))
        result = cluster(x[order], model=model)
        np.testing.assert_array_equal(result.labels, result.labels[:100][order])

    def test_the_same_seed_gives_the_same_result(self, model, groups):
        """Bit by bit."""
        x, _ = groups(10, 10, spread=0.8)
        one, two = (cluster(x, model=model, seed=3) for _ in range(2))
        np.testing.assert_array_equal(one.labels, two.labels)
        np.testing.assert_array_equal(one.confidence, two.confidence)

    @pytest.mark.parametrize("value", [np.nan, np.inf, 0])
    def test_a_bad_row_is_named(self, model, value):
        """NaN, infinity and zeros have no direction."""
        x = np.eye(6)
        x[4] = value
        with pytest.raises(BadInputError, match="row 4"):
            cluster(x, model=model)


class TestResult:
    def test_levels_are_nested_from_fine_to_coarse(self, model, digits):
        """Rows that share a cluster share it in every coarser level."""
        result = cluster(digits[0], model=model)
        assert len(result.levels) > 2
        for fine, coarse in zip(result.levels, result.levels[1:], strict=False):
            assert fine.max() > coarse.max()
            assert len(np.unique(np.stack((fine, coarse), axis=1), axis=0)) == fine.max() + 1

    def test_exemplars_are_members(self, model, digits):
        """The i-th exemplar belongs to cluster i."""
        result = cluster(digits[0], model=model)
        assert result.labels[result.exemplars].tolist() == list(range(len(result.exemplars)))

    def test_confidence_means_something(self, model, groups):
        """Sure rows are right more often than doubtful ones."""
        x, labels = groups(40, 10, d=16, spread=0.6)
        result = cluster(x, model=model)
        exemplar = labels[result.exemplars][result.labels]
        right = exemplar == labels
        sure = result.confidence >= np.median(result.confidence)
        assert right[sure].mean() > right[~sure].mean()

    def test_stages_are_timed_and_reported(self, model, groups):
        """Seconds by stage; progress ends at 1."""
        seen = []
        result = cluster(
            groups(5, 10)[0], model=model, progress=lambda stage, share: seen.append((stage, share))
        )
        assert list(result.seconds) == ["graph", "features", "edges", "levels", "cut"]
        assert list(dict.fromkeys(stage for stage, _ in seen)) == list(result.seconds)
        assert seen[-1] == ("cut", 1.0)


class TestGraphOfOnesOwn:
    def test_gives_what_the_exact_graph_gives(self, model, groups):
        """A kept graph replaces the search."""
        x, _ = groups(10, 10)
        expected = cluster(x, model=model)
        actual = cluster(x, graph=exact_knn(x), model=model)
        np.testing.assert_array_equal(actual.labels, expected.labels)

    def test_must_have_one_row_each(self, model, groups):
        """A graph of another collection is refused."""
        x, _ = groups(10, 10)
        with pytest.raises(BadInputError, match="graph has 90 rows and vectors 100"):
            cluster(x, graph=exact_knn(x[:90]), model=model)

    def test_counts_need_a_graph(self, model):
        """Without one, copies are counted by themselves."""
        with pytest.raises(BadInputError, match="counts is given without graph"):
            cluster(np.eye(3), counts=np.ones(3, np.int32), model=model)

    def test_more_neighbours_than_thirty_are_ignored(self, model, groups):
        """The networks know a graph of 30."""
        x, _ = groups(10, 10)
        wide = exact_knn(x, 40)
        narrow = KnnGraph(wide.neighbours[:, :30], wide.similarity[:, :30])
        expected = cluster(x, graph=narrow, model=model)
        actual = cluster(x, graph=wide, model=model)
        np.testing.assert_array_equal(actual.labels, expected.labels)
