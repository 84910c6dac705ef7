import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from worker.drift import measure


def drift(old, cluster, counts=None, provisional=None, confidence=None):
    n = len(old)
    return measure(
        np.array(old, np.int32),
        np.array(cluster, np.int32),
        np.array([1] * n if counts is None else counts, np.int32),
        np.array([False] * n if provisional is None else provisional, bool),
        np.array([0.5] * n if confidence is None else confidence, np.float32),
    )


labels = st.integers(0, 6)
pairs = st.lists(st.tuples(labels, labels, st.integers(0, 4)), max_size=60)


class TestAgainstScikitLearn:
    @given(pairs)
    def test_rand_index_and_nmi(self, rows):
        """Both agree with scikit-learn's on the images spelled out one by one."""
        old = [old for old, _, _ in rows]
        cluster = [-2 - new if new % 2 else new for _, new, _ in rows]
        counts = [count for _, _, count in rows]
        found = drift(old, cluster, counts)
        one, other = np.repeat(old, counts), np.repeat(cluster, counts)
        assert found.rand_index == pytest.approx(adjusted_rand_score(one, other))
        assert found.nmi == pytest.approx(normalized_mutual_info_score(one, other), abs=1e-9)

    @given(pairs)
    def test_every_share_is_a_share(self, rows):
        """All shares lie in 0..1, for any partition."""
        old, cluster, counts = zip(*rows, strict=True) if rows else ((), (), ())
        found = drift(old, cluster, counts)
        for name in ("changed", "singleton", "largest", "overturned"):
            assert 0 <= getattr(found, f"{name}_share") <= 1
        assert 0 <= found.merge_mass < 1
        assert 0 <= found.split_mass < 1


class TestByHand:
    def test_nothing_moved(self):
        """The same clusters: all shares of change are 0, both indexes 1."""
        found = drift([1, 1, 2, 2], [1, 1, 2, 2])
        assert (found.changed_share, found.merge_mass, found.split_mass) == (0, 0, 0)
        assert (found.rand_index, found.nmi) == (1, 1)
        assert (found.clusters_before, found.clusters_after, found.clusters) == (2, 2, 2)

    def test_merge(self):
        """Two of five images came to the three others."""
        found = drift([1, 1, 1, 2, 2], [1, 1, 1, 1, 1])
        assert (found.changed_share, found.merge_mass, found.split_mass) == (0.4, 0.4, 0)
        assert (found.largest_share_before, found.largest_share) == (0.6, 1)

    def test_split(self):
        """Two of five images left the three others."""
        found = drift([1, 1, 1, 1, 1], [1, 1, 1, -2, -2])
        assert (found.changed_share, found.merge_mass, found.split_mass) == (0.4, 0, 0.4)

    def test_images_count_and_not_rows(self):
        """A row of nine images weighs nine times as much."""
        found = drift([1, 2], [1, 1], counts=[9, 1], confidence=[1.0, 0.0])
        assert (found.images, found.changed_share) == (10, 0.1)
        assert found.mean_confidence == pytest.approx(0.9)
        assert drift([1, 2], [1, 2], counts=[9, 1]).singleton_share == 0.1

    def test_provisional_images_are_counted_apart(self):
        """They are no change, but are overturned or not."""
        found = drift([1, 1, 1, 2], [1, 1, 2, 2], provisional=[False, True, True, True])
        assert (found.settled_images, found.changed_share) == (1, 0)
        assert found.overturned_share == pytest.approx(1 / 3)

    def test_dead_rows_and_images_without_a_cluster_before(self):
        """Dead rows count for nothing, images that had no cluster only for the state now."""
        found = drift([1, 1, -1], [1, -1, -2], counts=[1, 0, 1], confidence=[0.5, np.nan, 0.5])
        assert (found.images, found.settled_images, found.mean_confidence) == (2, 1, 0.5)

    @pytest.mark.parametrize("images", [0, 1])
    def test_no_image_and_one(self, images):
        """Every figure is defined."""
        found = drift([1] * images, [1] * images)
        assert (found.images, found.changed_share, found.rand_index, found.nmi) == (images, 0, 1, 1)
        assert found.singleton_share == found.largest_share == images

    def test_new_clusters_are_told_apart(self):
        """Clusters without a number are as many clusters as they are."""
        found = drift([1, 1, 1], [-2, -3, -4])
        assert (found.clusters, found.singleton_share) == (3, 1)
