import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from models import exact_knn
from models.conditions import conditions
from models.context import _count_by_kernel, _count_on_tensors, context_of
from models.edge_features import QUANTILES, quantile
from models.edge_table import edges_of, edges_of_graph
from models.edges import both_rounds, reader_of
from models.folding import Folded
from models.judging import judge_graph, round_inputs
from models.kernels import columns
from models.kernels.blocks import for_each, in_blocks
from models.kernels.compiled import cache_folder, compiled
from models.kernels.degrees import count_listed
from models.kernels.edges import quantile_of
from models.kernels.walk import walk
from models.network import Evidence, Logit, round_two_features, with_context
from models.triangle_messages import TriangleMessages
from models.view import view_of


@pytest.fixture(scope="module", params=[400, 9, 2], ids=["many", "few", "two"])
def collection(request, groups):
    """View and context of rows with full lists, with padded lists, and of a single pair.

    Few rows make steps of the quantiles, over which rounding moves a value: here they are a ramp.
    """
    n = request.param
    x = groups(max(n // 10, 1), 10, spread=0.6)[0][:n]
    view = view_of(x, exact_knn(x, 12))
    context = context_of(view, np.arange(n), conditions("thing", None))
    ramp = np.linspace(-1, 1, QUANTILES, dtype=np.float32)
    return view, replace(context, quantiles=np.tile(ramp, (3, 1)))


class TestEdgeTable:
    def test_features_are_those_of_the_tensors(self, collection):
        """All 38 numbers of every edge, as `models.edge_features` defines them."""
        view, context = collection
        rows = torch.arange(len(view))
        features, _, valid = reader_of(view, context).read(rows)
        edges = edges_of(view, context, rows.numpy(), view.k)
        actual = np.concatenate([block.numpy().copy() for _, block in edges.features()])
        np.testing.assert_allclose(actual, features[valid].numpy(), atol=5e-5)

    def test_rows_are_described_as_on_tensors(self, collection):
        """The table of rows holds the columns of `NodeTable`."""
        view, context = collection
        expected = reader_of(view, context).table
        actual = edges_of(view, context, np.arange(len(view)), view.k).nodes
        for column, value in [
            (columns.NEAR_Z, expected.near_z),
            (columns.TENTH, expected.tenth),
            (columns.LAST, expected.last),
            (columns.FIRST_Z, expected.first_z),
            (columns.LAST_Z, expected.last_z),
            (columns.COHERENCE, expected.coherence),
            *zip(range(columns.NEAR, columns.NEAR_Z), expected.near.T, strict=True),
        ]:
            np.testing.assert_allclose(actual[:, column], value.numpy(), rtol=1e-4, atol=2e-6)

    def test_rows_that_the_context_does_not_know_are_measured(self, collection):
        """A context of the first rows alone says the same of some later rows' edges."""
        view, context = collection
        rows, half = np.arange(len(view)), len(view) // 2
        early = context_of(view, rows, context.conditions, rows_known=half)
        early = replace(early, quantiles=context.quantiles)
        expected = reader_of(view, early, torch.from_numpy(rows[half:]), 3)
        features, _, valid = expected.read(torch.from_numpy(rows[half:]))
        edges = edges_of(view, early, rows[half:], 3)
        actual = np.concatenate([block.numpy().copy() for _, block in edges.features()])
        np.testing.assert_allclose(actual, features[valid].numpy(), atol=5e-5)


def test_neighbours_are_counted_as_on_tensors(collection):
    """How many the ends of an edge share, and how many edges go both ways, over some rows."""
    view, _ = collection
    for sample in (torch.arange(len(view)), torch.arange(0, len(view), 3)):
        for one, other in zip(
            _count_by_kernel(view, sample), _count_on_tensors(view, sample), strict=True
        ):
            assert torch.equal(one, other)


class TestBothRounds:
    def test_answers_are_those_of_the_tensors(self, collection, model):
        """Each edge judged once by kernels, as both of its directions are on tensors."""
        view, context = collection
        expected, _ = both_rounds(model.network, view, context)
        actual = judge_graph(model.network, view, context)
        np.testing.assert_allclose(actual.listed, expected.numpy(), atol=1e-4)

    @pytest.mark.parametrize("which", [1, 2])
    def test_inputs_of_chosen_edges_are_those_of_the_tensors(self, collection, model, which):
        """What training reads of some edges is what the tensors of all of them hold."""
        view, context = collection
        rows = torch.arange(len(view))
        reader = reader_of(view, context)
        features, triangles, valid = reader.read(rows)
        if which == 2:
            told = with_context(features, context.inputs(view.device))
            p = model.network.first.probability(told) * valid
            j = torch.where(valid, view.neighbours.long(), rows[:, None])
            evidence = Evidence.of(view.neighbours, p)
            around = round_two_features(TriangleMessages(), triangles, evidence, rows, j)
            features = torch.cat((features, around), dim=-1)
        wanted = np.flatnonzero(valid.numpy())[::3]
        actual = round_inputs(model.network, view, context, wanted, which)
        expected = features.flatten(0, 1)[torch.from_numpy(wanted)].numpy()
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)

    def test_each_edge_is_judged_once(self, collection):
        """The table holds every pair of rows of which one lists the other, and no pair twice."""
        view, context = collection
        edges = edges_of_graph(view, context)
        rows, place = np.nonzero(view.neighbours.numpy() >= 0)
        others = view.neighbours.numpy()[rows, place]
        expected = {frozenset(pair) for pair in zip(rows.tolist(), others.tolist(), strict=True)}
        i, j = edges.ids[edges.i], edges.ids[edges.j]
        actual = list(zip(i.tolist(), j.tolist(), strict=True))
        assert len(actual) == len(expected)
        assert {frozenset(pair) for pair in actual} == expected


class TestWalk:
    def test_goes_to_the_first_neighbour_that_it_has_not_seen(self):
        """Two triangles with a link from the first to the second, and a row without neighbours."""
        neighbours = [[2, 1], [0, 4], [0, 1], [4, 5], [5, 3], [4, 3], [-1, -1]]
        assert walk(np.array(neighbours, np.int32)).tolist() == [0, 2, 1, 4, 5, 3, 6]

    def test_sees_every_row_once(self, collection):
        """Whatever the graph is."""
        view, _ = collection
        order = walk(view.neighbours.numpy())
        assert sorted(order.tolist()) == list(range(len(view)))


def test_quantiles_are_those_of_the_tensors():
    """Below, between, at and above the entries of a table, also where some are equal."""
    table = torch.tensor([0.0, 1.0, 1.0, 1.0, 3.0])
    value = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 9.0])
    actual = [quantile_of(table.numpy(), v) for v in value.numpy()]
    np.testing.assert_allclose(actual, quantile(table, value), rtol=1e-6)


def test_in_degrees_count_the_lists_that_a_row_stands_in(collection):
    """Empty places of a list count for nobody."""
    neighbours = collection[0].neighbours.numpy().copy()
    neighbours[::3, 5:] = -1
    listed = np.zeros(len(neighbours), np.int32)
    assert count_listed(neighbours, listed) == 0
    expected = np.bincount(neighbours[neighbours >= 0], minlength=len(neighbours))
    np.testing.assert_array_equal(listed, expected)


def test_a_grown_context_knows_every_row(collection):
    """What was measured of half of the rows, grown, is what is measured of all."""
    view, whole = collection
    half = context_of(view, np.arange(len(view)), whole.conditions, rows_known=len(view) // 2)
    grown = half.grown(view.vectors.numpy(), view.neighbours.numpy())
    np.testing.assert_allclose(grown.rows, whole.rows, rtol=1e-5)
    np.testing.assert_allclose(grown.hubness, whole.hubness, rtol=1e-6)


@pytest.mark.parametrize("hidden", [16, 18])
@pytest.mark.parametrize("rows", [3000, 1, 0])
def test_a_folded_network_says_the_same(rows, hidden):
    """What is told once gives the answers of what is told with every edge."""
    torch.manual_seed(0)
    logit, told, x = Logit(9, hidden), torch.randn(4), torch.randn(rows, 5)
    logit.mean.normal_()
    expected = logit.probability(with_context(x, told))
    torch.testing.assert_close(Folded.of(logit, told).probability(x), expected)


def test_a_kernel_bends_as_gelu_does():
    """A network that is one hidden unit passed through, where it is steep and where it is flat."""
    logit, x = Logit(1, 4), torch.linspace(-5, 5, 2001)[:, None]
    with torch.no_grad():
        for layer in logit.mlp.lins:
            layer.weight.zero_()
            layer.bias.zero_()
            layer.weight[0, 0] = 2
    actual = Folded.of(logit, torch.empty(0)).probability(x)
    torch.testing.assert_close(actual, logit.probability(x), rtol=0, atol=1e-5)


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


class TestBlocks:
    @pytest.mark.usefixtures("three_threads")
    def test_cover_everything_once(self):
        """Three threads fill 5,000 places without a gap."""
        done, said = np.zeros(5000, int), []

        def mark(start, stop):
            done[start:stop] += 1

        in_blocks(mark, len(done), said.append)
        assert (done == 1).all()
        assert said == sorted(said)

    @pytest.mark.usefixtures("three_threads")
    def test_raise_what_one_of_them_raised(self):
        """A part that failed on another thread is not taken for done."""

        def fail(start, _stop):
            if start == 1024:
                raise ValueError(start)

        with pytest.raises(ValueError, match="1024"):
            in_blocks(fail, 5000)

    @pytest.mark.usefixtures("three_threads")
    def test_what_is_done_for_each_comes_in_order(self):
        """On several threads as on one; what a task raises is raised."""
        assert for_each(str, range(50)) == [str(number) for number in range(50)]
        with pytest.raises(ZeroDivisionError):
            for_each(lambda number: 1 / number, [1, 0, 2])

    @pytest.mark.usefixtures("three_threads")
    def test_give_the_same_answers(self, model, groups):
        """A run on three threads says what it says on one."""
        x, _ = groups(400, 10)
        view = view_of(x, exact_knn(x, 12))
        context = context_of(view, np.arange(len(x)), conditions("thing", None))
        several = judge_graph(model.network, view, context).listed
        torch.set_num_threads(1)
        np.testing.assert_array_equal(judge_graph(model.network, view, context).listed, several)


class TestCacheFolder:
    def test_is_where_it_is_asked_for(self, monkeypatch, tmp_path):
        """`NUMBA_CACHE_DIR` comes first; versions lie apart."""
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "asked"))
        assert cache_folder().parent == tmp_path / "asked"

    def test_is_the_users_otherwise(self, monkeypatch, tmp_path):
        """Never the package's own folder, which may be read-only."""
        monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_folder().parent == tmp_path / "shoal" / "kernels"

    def test_is_none_where_nothing_can_be_written(self, monkeypatch, tmp_path):
        """Kernels are then compiled in every process."""
        (tmp_path / "file").write_text("no folder")
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
        assert cache_folder() is None

    def test_is_the_users_alone(self, monkeypatch, tmp_path):
        """Nobody else may look into what was made, nor put anything there."""
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "asked"))
        for made in (cache_folder(), tmp_path / "asked"):
            assert made.stat().st_mode & 0o777 == 0o700

    def test_is_none_where_it_is_anothers(self, monkeypatch, tmp_path):
        """What another user put there is not read."""
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
        assert cache_folder() is not None
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 4711)
        assert cache_folder() is None

    @pytest.mark.parametrize("place", ["itself", "above"])
    @pytest.mark.parametrize("mode", [0o770, 0o702])
    def test_is_none_where_others_may_write(self, monkeypatch, tmp_path, place, mode):
        """Neither into the folder nor, unless that is sticky, into the one above."""
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "base"))
        made = cache_folder()
        (made if place == "itself" else made.parent).chmod(mode)
        assert cache_folder() is None
        (made if place == "itself" else made.parent).chmod(mode | 0o1000)
        assert (cache_folder() is None) == (place == "itself")

    def test_is_neither_read_nor_written_then(self, monkeypatch, tmp_path):
        """A kernel is compiled and works, and what others may have put there stays as it is."""

        def twice(x: int) -> int:
            return 2 * x

        monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "base"))
        assert compiled(twice)(2) == 4
        kept = [path for path in (tmp_path / "base").rglob("*.nb*") if path.is_file()]
        assert kept
        for path in kept:
            path.write_bytes(b"planted")
        [folder] = (tmp_path / "base").iterdir()
        folder.chmod(0o777)
        assert compiled(twice)(3) == 6
        assert {path.read_bytes() for path in kept} == {b"planted"}
