"""R5 as a pure function: what people said holds, of two contradictions the newest."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worker.agreement import NO_CORRECTIONS, agree
from worker.amend import plan
from worker.correct import correct
from worker.corrections import KINDS

A, B, C = 10, 11, 12
SAME, APART, BELONGS = (place for place, _ in enumerate(KINDS))


def rows(text):
    """One row per character: letters are clusters a=10, b=11, ..., a dot is none."""
    return np.array([-1 if c == "." else 10 + ord(c) - ord("a") for c in text], np.int32)


def said(*corrections):
    """A table of (kind, row, other), numbered from 1."""
    if not corrections:
        return NO_CORRECTIONS
    return np.array([(number, *c) for number, c in enumerate(corrections, 1)], np.int64)


def line(*places):
    """Unit vectors at these angles."""
    angles = np.array(places, float)
    return np.stack((np.cos(angles), np.sin(angles)), 1).astype(np.float32)


def corrected(text, *corrections, vectors=None, levels=()):
    groups = rows(text)
    vectors = line(*np.linspace(0, 1, len(text))) if vectors is None else vectors
    return correct(groups.astype(np.int64), said(*corrections), groups, vectors, levels)


def parts(groups):
    """A partition in letters, by first row."""
    names = {}
    return "".join(
        "." if g < 0 else names.setdefault(g, "abcdefgh"[len(names)]) for g in groups.tolist()
    )


class TestFourKinds:
    def test_nothing_said(self):
        """Nothing changes."""
        assert corrected("aabb.").groups.tolist() == rows("aabb.").tolist()

    def test_same_unites_the_two_clusters(self):
        """All images of both."""
        assert parts(corrected("aabbcc", (SAME, 1, 2)).groups) == "aaaabb"

    def test_belongs_moves_one_image(self):
        """The others of its cluster stay."""
        found = corrected("aabbcc", (BELONGS, 1, C))
        assert found.groups.tolist() == [A, C, B, B, C, C]
        assert found.numbers == {C: C}

    def test_belongs_says_which_number(self):
        """Also where the cluster that is cut would leave its own behind."""
        found = corrected("aaa", (APART, 0, 2), (BELONGS, 0, B), (SAME, 0, 1))
        assert parts(found.groups) == "aab"
        assert found.numbers == {int(found.groups[0]): B}

    def test_what_belongs_to_two_clusters_is_parted(self):
        """Also where other corrections unite those clusters."""
        found = corrected("aaab", (BELONGS, 0, A), (APART, 0, 1), (BELONGS, 2, B), (SAME, 1, 3))
        assert found.groups[0] != found.groups[2]
        assert found.numbers == {int(found.groups[0]): A, int(found.groups[2]): B}

    def test_belongs_takes_along_what_was_the_same(self):
        """Their old cluster is not united with the new one, but what is said to be the same
        afterwards unites the clusters.
        """
        assert parts(corrected("aaabb", (SAME, 0, 1), (BELONGS, 1, B)).groups) == "aabaa"
        assert parts(corrected("aaabb", (BELONGS, 1, B), (SAME, 0, 1)).groups) == "aaaaa"

    def test_apart_cuts_between_what_is_nearer(self):
        """Without a hierarchy by the vectors; the first keeps the number."""
        found = corrected("aaaaab", (APART, 4, 0))
        assert parts(found.groups) == "aabbbc"
        assert found.numbers == {int(found.groups[4]): A}

    def test_apart_cuts_at_the_coarsest_level(self):
        """Where a level tells them apart, its groups stay whole."""
        levels = [np.arange(6), np.array([0, 0, 0, 0, 1, 1]), np.zeros(6, int)]
        assert parts(corrected("aaaaaa", (APART, 0, 5), levels=levels).groups) == "aaaabb"

    def test_apart_and_apart_already(self):
        """Nothing to cut."""
        assert parts(corrected("aabb", (APART, 0, 3)).groups) == "aabb"

    def test_a_cut_respects_what_is_the_same(self):
        """An image that lies nearer to one goes with the one it was said to be the same as."""
        found = corrected("aaaaaa", (SAME, 4, 0), (APART, 0, 5))
        assert found.groups[4] == found.groups[0] != found.groups[5]

    def test_uniting_does_not_bring_together_what_is_apart(self):
        """C is with B; A is the same as C and apart from B: C leaves B."""
        found = corrected("abb", (APART, 0, 1), (SAME, 0, 2))
        assert parts(found.groups) == "aba"
        assert found.holds.all()

    def test_rows_in_no_cluster_are_passed_over(self):
        """A row that died or waits for its cluster changes nothing, and contradicts nothing."""
        found = corrected("aab.", (SAME, 0, 3), (APART, 2, 3))
        assert parts(found.groups) == "aab."
        assert found.holds.all()


class TestContradictions:
    def test_the_newest_wins(self):
        """The older one is told by its place."""
        found = corrected("aabb", (SAME, 0, 2), (APART, 0, 2))
        assert (parts(found.groups), found.holds.tolist()) == ("aabb", [False, True])
        found = corrected("aabb", (APART, 0, 2), (SAME, 0, 2))
        assert (parts(found.groups), found.holds.tolist()) == ("aaaa", [False, True])

    def test_by_a_third_image(self):
        """A = B and B = C contradict an older A apart from C."""
        assert agree(said((APART, 0, 2), (SAME, 0, 1), (SAME, 1, 2))).holds.tolist() == [
            False,
            True,
            True,
        ]

    def test_two_clusters_for_what_is_the_same(self):
        """Two images of two clusters cannot be the same."""
        table = said((SAME, 0, 1), (BELONGS, 0, A), (BELONGS, 1, B))
        assert agree(table).holds.tolist() == [False, True, True]


def partitions(n):
    return st.lists(st.integers(0, 4), min_size=n, max_size=n).map(lambda x: np.array(x, np.int32))


@st.composite
def cases(draw):
    n = draw(st.integers(2, 14))
    row = st.integers(0, n - 1)
    pair = st.tuples(st.sampled_from([SAME, APART]), row, row).filter(lambda c: c[1] != c[2])
    home = st.tuples(st.just(BELONGS), row, st.integers(0, 6))
    corrections = draw(st.lists(st.one_of(pair, home), max_size=10))
    vectors = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(n, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    levels = [draw(partitions(n))] if draw(st.booleans()) else []
    return draw(partitions(n)), said(*corrections), vectors.astype(np.float32), levels


def check(groups, table):
    """Every correction of `table` that no newer one contradicts."""
    holds = agree(table).holds
    for kind, one, other in table[holds][:, 1:].tolist():
        if kind == SAME:
            assert groups[one] == groups[other]
        elif kind == APART:
            assert groups[one] != groups[other]


class TestAlways:
    @given(cases())
    def test_what_holds_is_so(self, case):
        """Pairs that are the same are together, those apart are apart; rows are neither lost nor
        found, and doing it again changes nothing.
        """
        groups, table, vectors, levels = case
        found = correct(groups.astype(np.int64), table, groups, vectors, levels)
        check(found.groups, table)
        assert (found.groups >= 0).all()
        rest = table[agree(table).holds & (table[:, 1] != BELONGS)]
        again = correct(found.groups, rest, groups, vectors, levels)
        assert parts(again.groups) == parts(found.groups)

    @given(cases())
    def test_the_newest_always_holds(self, case):
        """Whatever was said before."""
        table = case[1]
        newest = agree(table).holds[-1:]
        assert newest.all() or (table[-1, 1] == APART and table[-1, 2] == table[-1, 3])

    @given(cases(), st.sets(st.integers(0, 4)))
    def test_at_once(self, case, pinned):
        """Between runs the same holds; ids of named clusters stay but where two became one; what
        nothing is wrong with is not touched; and then there is nothing more to do.
        """
        target, table, vectors, _ = case
        counts = np.ones(len(target), np.int32)
        change = plan(target, target, counts, table, pinned, vectors)
        if change is None:
            check(target, table)
            return
        found = np.where(change.inside, change.matching.cluster, target)
        check(found, table)
        assert not set(found[change.inside]) & set(target[~change.inside])
        one_of_two = {
            int(target[row])
            for kind, one, other in table[:, 1:].tolist()
            for row in ((one, other) if kind == SAME else (one,))
            if kind != APART
        } | set(table[table[:, 1] == BELONGS, 3].tolist())
        lost = (pinned & set(target.tolist())) - set(found.tolist())
        assert lost <= one_of_two
        # New clusters get numbers.
        numbered = np.where(found < 0, 50 - found, found).astype(np.int32)
        homes = {o: h for o, h in change.matching.retired.items() if h is not None}
        table = table.copy()
        for record in table:
            if record[1] == BELONGS:
                heir = homes.get(int(record[3]), int(record[3]))
                record[3] = 50 - heir if heir < 0 else heir
        again = plan(numbered, numbered, counts, table, set(), vectors)
        assert (
            again is None
            or (np.where(again.inside, again.matching.cluster, numbered) == numbered).all()
        )


class TestNames:
    def test_the_named_one_stays(self):
        """However small it is."""
        target = rows("abbbb")
        change = plan(
            target, target, np.ones(5, np.int32), said((SAME, 0, 1)), {A}, line(*range(5))
        )
        assert change.matching.cluster.tolist() == [A] * 5
        assert change.matching.retired == {B: A}

    def test_the_larger_one_stays(self):
        """Where neither has a name."""
        target = rows("abbbbc")
        change = plan(target, target, np.ones(6, np.int32), said((SAME, 0, 1)), (), line(*range(6)))
        assert change.matching.cluster.tolist() == [B] * 5 + [-1]

    def test_a_run_does_not_take_a_name_given_since(self):
        """The cluster that took all of its images gets its number."""
        change = plan(
            rows("bbbbc"), rows("abbbc"), np.ones(5, np.int32), NO_CORRECTIONS, {A}, line(*range(5))
        )
        assert change.matching.cluster.tolist() == [A] * 4 + [-1]
        assert change.matching.retired == {B: A}

    def test_a_cut_made_since_the_run_began_keeps_its_ids(self):
        """The part that left before has the number that it had got."""
        change = plan(
            rows("aaaa"),
            rows("aabb"),
            np.ones(4, np.int32),
            said((APART, 0, 3)),
            (),
            line(0, 0.1, 0.9, 1),
        )
        assert change.matching.cluster.tolist() == [A, A, B, B]
