import numpy as np
import pytest
import torch

from models import CollectionContext, exact_knn
from models.background import background_of
from models.conditions import conditions
from models.context import context_of
from models.edge_features import FEATURES, QUANTILES, quantile
from models.edges import reader_of
from models.errors import BadInputError
from models.nodes import node_table
from models.view import view_of

# A last bit may carry a value across an entry of the quantile table.
ROUNDING = 1.1 / (QUANTILES - 1)


def rotation(d, seed=0):
    """A random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def features_of(x):
    """Every edge's features, and the graph they are of."""
    graph = exact_knn(x, 12)
    view = view_of(x, graph)
    context = context_of(view, np.arange(len(x)), conditions("thing", None))
    reader = reader_of(view, context)
    parts = [reader.read(rows)[0] for rows in view.chunks(torch.arange(len(x)))]
    return torch.cat(parts).numpy(), graph, context


class TestInvariance:
    def test_no_rotation_changes_a_feature(self, groups):
        """Turning the whole space leaves every number as it was."""
        x, _ = groups(8, 15, spread=0.6)
        turned = (x @ rotation(32)).astype(np.float32)
        expected, graph, context = features_of(x)
        actual, turned_graph, turned_context = features_of(turned)
        np.testing.assert_array_equal(turned_graph.neighbours, graph.neighbours)
        assert actual.shape[-1] == FEATURES
        np.testing.assert_allclose(actual, expected, atol=ROUNDING)
        np.testing.assert_allclose(turned_context.numbers, context.numbers, atol=1e-3)

    def test_no_empty_dimension_changes_a_feature(self, groups):
        """Nor does putting the vectors into a larger space."""
        x, _ = groups(8, 15, spread=0.6)
        wide = np.concatenate((x, np.zeros((120, 50), np.float32)), axis=1)
        np.testing.assert_allclose(features_of(wide)[0], features_of(x)[0], atol=ROUNDING)


class TestBackground:
    @pytest.mark.parametrize("d", [32, 200, 1_500])
    def test_r_is_the_centred_cosine_and_z_counts_spreads(self, groups, d):
        """Against the formulas, written out over all pairs; more rows than dimensions, or fewer."""
        x, _ = groups(8, 15, d=d, spread=0.6)
        graph = exact_knn(x, 12)
        view = view_of(x, graph)
        rows = torch.arange(120)
        background = background_of(view.vectors, rows, rows, 120)
        r, z = background.standardise(view, rows)
        u = x.astype(np.float64) - x.mean(axis=0)
        inner = u @ u.T
        norm = np.sqrt(np.diag(inner))
        spread = inner.std(axis=1)  # of <u_i, u_l> over all l
        spread = np.maximum(spread, 0.3 * np.median(spread))
        at = (np.arange(120)[:, None], graph.neighbours)
        np.testing.assert_allclose(r, (inner / np.outer(norm, norm))[at], atol=1e-4)
        np.testing.assert_allclose(z, (inner / np.sqrt(np.outer(spread, spread)))[at], rtol=2e-3)

    def test_many_dimensions_are_measured_against_fewer_rows(self, groups):
        """At most 1,024, so that nothing grows with their square; spreads are hardly others."""
        d, n = 1_030, 1_100
        x = torch.from_numpy(groups(20, n // 20, d=d)[0])
        rows = torch.arange(n)
        background = background_of(x, rows, rows, n)
        assert background.factor.shape == (n // 2, d)
        u = x - x.mean(0)
        expected = (u @ u.T).std(dim=1, correction=0)
        torch.testing.assert_close(background.rows[:, 2], expected, rtol=0.15, atol=0)

    def test_rows_it_does_not_know_are_measured_when_met(self, groups):
        """A background that measured 50 rows says the same of all 120."""
        x, _ = groups(8, 15)
        view = view_of(x, exact_knn(x, 12))
        rows = torch.arange(120)
        whole, part = (background_of(view.vectors, rows, rows, known) for known in (120, 50))
        for a, b in zip(whole.standardise(view, rows), part.standardise(view, rows), strict=True):
            torch.testing.assert_close(a, b)


class TestNodes:
    def test_means_go_over_real_neighbours_only(self):
        """With two rows each has one neighbour, whose R is every mean."""
        x = np.array([[1, 0], [0.6, 0.8]], np.float32)
        view = view_of(x, exact_knn(x, 5))
        rows = torch.arange(2)
        table = node_table(view, background_of(view.vectors, rows, rows, 2), rows)
        torch.testing.assert_close(table.near, torch.full((2, 5), -1.0), atol=1e-3, rtol=0)
        torch.testing.assert_close(table.last, torch.full((2,), -1.0), atol=1e-3, rtol=0)

    def test_a_row_without_neighbours_is_all_zeros(self):
        """A lonely row divides by nothing."""
        x = np.array([[1, 0]], np.float32)
        view = view_of(x, exact_knn(x, 5))
        rows = torch.arange(1)
        table = node_table(view, background_of(view.vectors, rows, rows, 1), rows)
        assert not table.near.any()
        assert not table.coherence.any()


def test_quantiles_interpolate():
    """Below, between, at and above the entries of a table."""
    table = torch.tensor([0.0, 1.0, 3.0])
    value = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 9.0])
    expected = torch.tensor([0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0])
    torch.testing.assert_close(quantile(table, value), expected)


class TestConditions:
    def test_the_word_is_one_of_three_and_the_size_a_logarithm(self):
        """An unknown word is a third of each, an unknown size a value that no size has."""
        np.testing.assert_allclose(conditions("kind", np.e), [1, 0, 0, 1], rtol=1e-6)
        np.testing.assert_allclose(conditions(None, None), [-2, 1 / 3, 1 / 3, 1 / 3], rtol=1e-6)

    def test_refuses_other_words(self):
        """The message lists what is allowed."""
        with pytest.raises(BadInputError, match="'person'; it must be one of shot, thing, kind"):
            conditions("person", None)
        with pytest.raises(BadInputError, match=r"\['thing'\]; it must be one of"):
            conditions(["thing"], None)

    @pytest.mark.parametrize(
        "size",
        [0, -1, 0.5, float("nan"), float("inf"), "5", [5], pytest.param(10**400, id="huge")],
    )
    def test_refuses_sizes_below_one(self, size):
        """A group holds at least one image, and their number is one."""
        with pytest.raises(BadInputError, match=r"group_size is .*; it must be a number of at"):
            conditions("thing", size)


class TestContext:
    def test_is_the_same_after_saving(self, groups, tmp_path):
        """Every array comes back bit by bit, under the very name given."""
        x, _ = groups(4, 10)
        _, _, context = features_of(x)
        context.save(tmp_path / "context")
        loaded = CollectionContext.load(tmp_path / "context")
        for name in CollectionContext.__slots__:
            np.testing.assert_array_equal(getattr(loaded, name), getattr(context, name))

    def test_refuses_another_file(self, tmp_path):
        """Neither a text nor an npz of other arrays is a context."""
        (tmp_path / "text").write_text("no context")
        np.savez(tmp_path / "other.npz", labels=np.arange(3))
        for name in ("text", "other.npz"):
            with pytest.raises(BadInputError, match="is not a saved collection context"):
                CollectionContext.load(tmp_path / name)
