import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.identity import match
from worker.recluster.lineage import Lineage
from worker.store.base import EventKind


def rows(text):
    """One row per character: letters are clusters a=10, b=11, ..., a dot is none."""
    return np.array([-1 if c == "." else 10 + ord(c) - ord("a") for c in text], np.int32)


def matched(old, new, **options):
    counts = options.pop("counts", np.ones(len(old), np.int32))
    history = [rows(text) for text in options.pop("history", ())]
    return match(rows(old), rows(new).astype(np.int64), counts, history=history, **options)


A, B, C, D = 10, 11, 12, 13
NEW, SECOND = -2, -3


class TestFourClusters:
    """Old clusters a, b, c, d by hand; the names on the right mean nothing."""

    def test_the_same_partition_keeps_every_number_without_an_event(self):
        """Only the labels' names changed."""
        found = matched("aaabbbccdd", "zzzyyyxxww")
        assert found.cluster.tolist() == [A] * 3 + [B] * 3 + [C] * 2 + [D] * 2
        assert found.events == ()
        assert found.retired == {}
        assert found.codes.tolist() == [D, C, B, A]

    def test_merged(self):
        """The larger number stays, the other is retired with it as successor."""
        found = matched("aaabbccdd", "xxxxxyyzz")
        assert found.cluster.tolist() == [A] * 5 + [C, C, D, D]
        assert found.retired == {B: A}
        assert found.events == (
            Lineage(EventKind.MERGED, A, (A, B), before=3, images=5),
            Lineage(EventKind.RETIRED, B, (A,), before=2, images=0),
        )

    def test_split(self):
        """The largest part keeps the number, the other becomes a new cluster."""
        found = matched("aaaaabbccdd", "xxyyybbccdd")
        assert found.cluster.tolist() == [NEW, NEW, A, A, A, B, B, C, C, D, D]
        assert found.retired == {}
        assert found.events == (
            Lineage(EventKind.CREATED, NEW, (), before=0, images=2),
            Lineage(EventKind.SPLIT, A, (A, NEW), before=5, images=3),
        )

    def test_grown(self):
        """Images that were in no cluster joined one; the growth is half again and more."""
        found = matched("aaaabbccdd..", "aaaabbccddaa")
        assert found.cluster.tolist() == [A] * 4 + [B, B, C, C, D, D, A, A]
        assert found.events == (Lineage(EventKind.GROWN, A, (), before=4, images=6),)

    def test_a_little_growth_is_no_event(self):
        """One image, or less than half again, is nothing to tell."""
        assert matched("abbbbb...", "abbbbbabb").events == ()

    def test_created_from_new_images(self):
        """Images that were in no cluster form one."""
        found = matched("aabbccdd..", "aabbccddee")
        assert found.cluster.tolist()[-2:] == [NEW, NEW]
        assert found.events == (Lineage(EventKind.CREATED, NEW, (), before=0, images=2),)

    def test_retired_without_an_image(self):
        """A live cluster whose images were all erased has no successor."""
        found = matched("aabbccdd", "aabbcc..", live=[A, B, C, D])
        assert found.retired == {D: None}
        assert found.events == (Lineage(EventKind.RETIRED, D, (), before=0, images=0),)

    def test_scattered(self):
        """A retired cluster's successor is where most of its images went."""
        found = matched("aaaabbbbbbccdd", "xxxxyyyyyyxyxx")
        assert found.retired == {C: A, D: A}
        assert matched("aaaabbbbbbccc", "xxxxyyyyyyxyy").retired == {C: B}

    def test_half_of_a_cluster_is_enough_for_a_merge(self):
        """The other half goes its own way."""
        found = matched("aaabb", "xxxxy")
        assert found.events == (Lineage(EventKind.MERGED, A, (A, B), before=3, images=4),)

    def test_single_images_that_join_are_no_merge(self):
        """Their numbers are retired, that is all."""
        found = matched("abcdd", "xxxdd")
        assert [event.kind for event in found.events] == [EventKind.GROWN] + [EventKind.RETIRED] * 2

    def test_one_image_that_moves_is_no_event(self):
        """Numbers stay although an image changed sides."""
        found = matched("aaaabbbbccdd", "aaabbbbbccdd")
        assert found.cluster.tolist() == [A] * 3 + [B] * 5 + [C, C, D, D]
        assert found.events == ()

    def test_everything_new(self):
        """The first run numbers its clusters by their first row."""
        found = matched("....", "zzab")
        assert found.cluster.tolist() == [-2, -2, -3, -4]
        assert found.labels.tolist() == [A, B, 35]
        assert found.codes.tolist() == [-3, -4, -2]


class TestWeights:
    def test_images_count_and_not_rows(self):
        """One row of nine images outweighs two rows of one."""
        found = matched("aaa", "xyy", counts=np.array([9, 1, 1], np.int32))
        assert found.cluster.tolist() == [A, NEW, NEW]
        assert found.events[0].images == 2

    def test_dead_rows_count_for_nothing(self):
        """A row without images is in no cluster and pulls no number."""
        found = matched("aab", "xyy", counts=np.array([0, 1, 1], np.int32))
        assert found.cluster.tolist() == [-1, A, A]
        assert found.retired == {B: A}

    def test_no_rows(self):
        """An empty collection has an empty matching."""
        found = matched("", "")
        assert found.cluster.size == found.codes.size == 0
        assert found.events == ()

    def test_of_equals_the_older_number_stays(self):
        """Two single images that merge keep the number given out first."""
        assert matched("ba", "xx").cluster.tolist() == [A, A]


class TestPinned:
    def test_a_small_pinned_cluster_keeps_its_number_in_a_merge(self):
        """Its name goes on, with the images of the larger one."""
        found = matched("abbbbb", "xxxxxx", pinned=[A])
        assert found.cluster.tolist() == [A] * 6
        assert found.retired == {B: A}

    def test_the_largest_part_of_a_pinned_cluster_keeps_it(self):
        """Also where another cluster has more images there."""
        found = matched("aaaaabbbb", "xxxyyxxxx", pinned=[A])
        assert found.cluster.tolist() == [A, A, A, NEW, NEW, A, A, A, A]
        assert found.retired == {B: A}

    def test_of_two_pinned_ones_that_become_one_the_larger_stays(self):
        """The smaller is retired, with a successor, and events say so."""
        found = matched("aabbbcc", "xxxxxcc", pinned=[A, B])
        assert found.cluster.tolist() == [B] * 5 + [C] * 2
        assert found.retired == {A: B}
        assert found.events == (
            Lineage(EventKind.MERGED, B, (B, A), before=3, images=5),
            Lineage(EventKind.RETIRED, A, (B,), before=2, images=0),
        )

    def test_the_rest_of_a_swallowed_pinned_cluster_keeps_it(self):
        """As long as one image lives elsewhere, the number lives there."""
        found = matched("aaabbbb", "xxyxxxx", pinned=[A, B])
        assert found.cluster.tolist() == [B, B, A, B, B, B, B]


class TestReturns:
    def test_a_merge_that_comes_apart_gives_both_numbers_back(self):
        """The larger side was the retired one; it does not take the survivor's number."""
        found = matched("aaaaaaa", "xxxyyyy", history=["aaabbbb"])
        assert found.cluster.tolist() == [A] * 3 + [B] * 4
        assert found.revived == {B}
        assert found.events == (
            Lineage(EventKind.CREATED, B, (), before=0, images=4),
            Lineage(EventKind.SPLIT, A, (B, A), before=7, images=3),
        )

    def test_new_images_since_do_not_hinder_a_return(self):
        """Only the images that the former generation knew are asked."""
        found = matched("aaaaaaaaaaaa", "xxxyyyyyyyyy", history=["aaabbbb", "aaabb"])
        assert found.cluster.tolist() == [A] * 3 + [B] * 9

    def test_a_merge_that_stays_revives_nobody(self):
        """However many of its images were in the retired one."""
        found = matched("aaaaaaa", "xxxxxxx", history=["aaabbbb"])
        assert found.cluster.tolist() == [A] * 7
        assert found.events == ()

    def test_the_survivor_keeps_a_cluster_of_which_only_returned_images_live(self):
        """Its own images were erased; nothing else moved."""
        found = matched("..aaaa", "..xxxx", history=["aabbbb"])
        assert found.cluster.tolist() == [-1, -1, A, A, A, A]

    def test_a_pinned_cluster_does_not_yield_its_last_images(self):
        """A named cluster goes before one that returns."""
        found = matched("ccbbb", "xxxxx", history=["aaaaa"], pinned=[C])
        assert set(found.cluster.tolist()) == {C}

    def test_a_pinned_survivor_stays_with_its_own_images(self):
        """The name does not move over to the side that returns."""
        found = matched("aaaaaaa", "xxxyyyy", history=["aaabbbb"], pinned=[A, B])
        assert found.cluster.tolist() == [A] * 3 + [B] * 4

    def test_the_newest_generation_decides(self):
        """A number that is found in two former generations is looked up in the newer."""
        found = matched("aaaaaaa", "xxxyyzz", history=["aaabbaa", "aaaaabb"])
        assert found.cluster.tolist() == [A] * 3 + [B] * 2 + [NEW] * 2

    def test_a_former_place_is_not_asked_once_a_newer_one_is_known(self):
        """In the newer generation its images were others, and those are scattered."""
        found = matched("aaaaaaa", "xxxwvyy", history=["aaabbba", "aaaaabb"])
        assert found.revived == frozenset()

    def test_a_cluster_with_few_returned_images_is_not_the_retired_one(self):
        """Most of it comes from elsewhere."""
        found = matched("aaaabbbbccccaa", "aaaybbbycccyyy", history=["aaaabbbbccccdd"])
        assert found.revived == frozenset()

    def test_scattered_images_of_a_retired_cluster_come_together_again(self):
        """It had been taken apart by clusters that all have images of their own."""
        found = matched("aaabbbacb", "aaabbbxxx", history=["aaabbbddd"])
        assert found.cluster.tolist() == [A] * 3 + [B] * 3 + [D] * 3
        assert found.retired == {C: D}


SIZES = st.integers(0, 40)


@st.composite
def partitions(draw, former=True):
    n = draw(SIZES)

    def labels(low, high):
        return np.array(draw(st.lists(st.integers(low, high), min_size=n, max_size=n)), np.int32)

    old, new, counts = labels(-1, 8), labels(0, 8).astype(np.int64), labels(0, 3)
    history = [labels(-1, 12) for _ in range(draw(st.integers(0, 2 if former else 0)))]
    pinned = draw(st.sets(st.integers(0, 12)))
    return old, new, counts, pinned, history


class TestProperties:
    @given(partitions(), st.permutations(range(9)))
    def test_the_names_of_the_new_clusters_do_not_matter(self, given_, names):
        """Permuted labels give the same matching."""
        old, new, counts, pinned, history = given_
        one = match(old, new, counts, pinned, history)
        other = match(old, np.array(names, np.int64)[new], counts, pinned, history)
        assert one.cluster.tolist() == other.cluster.tolist()
        assert (one.retired, one.revived, one.events) == (
            other.retired,
            other.revived,
            other.events,
        )

    @given(partitions())
    def test_identical_partitions_keep_every_number(self, given_):
        """With any pins and any history: no event, nothing revived, nothing retired."""
        old, _, counts, pinned, history = given_
        counts = np.where(old >= 0, counts, 0).astype(np.int32)
        found = match(old, old.astype(np.int64), counts, pinned, history)
        assert found.cluster.tolist() == np.where(counts > 0, old, -1).tolist()
        assert (found.events, found.retired, found.revived) == ((), {}, frozenset())

    @given(partitions())
    def test_one_to_one(self, given_):
        """Rows share a cluster after matching exactly if the run put them together."""
        old, new, counts, pinned, history = given_
        found = match(old, new, counts, pinned, history)
        alive = counts > 0
        pairs = set(zip(new[alive].tolist(), found.cluster[alive].tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        assert pairs == set(zip(found.labels.tolist(), found.codes.tolist(), strict=True))
        fresh = [code for code in found.codes.tolist() if code < 0]
        assert sorted(fresh, reverse=True) == list(range(-2, -2 - len(fresh), -1))

    @given(partitions())
    def test_no_image_and_no_number_is_lost(self, given_):
        """Every living row has a cluster; every old number lives on or is retired."""
        old, new, counts, pinned, history = given_
        found = match(old, new, counts, pinned, history)
        assert ((found.cluster != -1) == (counts > 0)).all()
        before = set(old[(counts > 0) & (old >= 0)].tolist())
        kept = set(found.codes.tolist()) & before
        assert kept | found.retired.keys() == before
        assert not kept & found.retired.keys()
        assert not found.revived & before
        ends = [event for event in found.events if event.kind == EventKind.RETIRED]
        assert sum(event.before for event in ends) == sum(
            int(counts[old == number].sum()) for number in found.retired
        )

    @given(partitions())
    def test_created_and_retired_tell_which_clusters_live(self, given_):
        """A reader who follows these two kinds of event has the list of live clusters."""
        old, new, counts, pinned, history = given_
        found = match(old, new, counts, pinned, history)
        live = set(old[(counts > 0) & (old >= 0)].tolist())
        for event in found.events:
            if event.kind == EventKind.CREATED:
                assert event.cluster not in live
                live.add(event.cluster)
            if event.kind == EventKind.RETIRED:
                live.remove(event.cluster)
        assert live == set(found.codes.tolist())

    @given(partitions())
    def test_a_pinned_number_is_lost_only_to_pinned_ones(self, given_):
        """Each cluster that holds one of its images is another pinned one then."""
        old, new, counts, pinned, history = given_
        found = match(old, new, counts, pinned, history)
        for number in pinned & found.retired.keys():
            holders = set(found.cluster[(old == number) & (counts > 0)].tolist())
            assert holders <= pinned

    @given(partitions(former=False))
    def test_no_two_would_rather_have_each_other(self, given_):
        """Without pins: no pair shares more images than both sides do with what they got."""
        old, new, counts, _, _ = given_
        found = match(old, new, counts)
        shared = {
            (a, b): int(counts[(old == a) & (found.cluster == b)].sum())
            for a in set(old.tolist()) - {-1}
            for b in set(found.cluster.tolist()) - {-1}
        }
        for (a, b), images in shared.items():
            if images:
                assert images <= max(shared.get((a, a), 0), shared.get((b, b), 0))


@pytest.mark.parametrize("clusters", [1, 1_000, 300_000])
def test_many_rows(clusters):
    """Three hundred thousand rows are matched, whatever the number of clusters."""
    rng = np.random.default_rng(1)
    old = rng.integers(0, clusters, 300_000).astype(np.int32)
    new = np.where(rng.random(300_000) < 0.1, rng.integers(0, clusters, 300_000), old)
    found = match(old, new, np.ones(300_000, np.int32), history=[old])
    assert (found.cluster == old).mean() > (0.89 if clusters < 300_000 else 0.6)
