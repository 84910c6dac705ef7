import numpy as np
import pytest

from models import BadInputError
from models.vectors import collapse, unit_rows


class TestUnitRows:
    def test_rows_have_length_one_whatever_their_scale(self):
        """Huge, tiny, half precision and whole-number rows all come out with length one."""
        for rows in (
            np.array([[3e300, 4e300], [3e-300, 4e-300]]),
            np.array([[3, 4], [6, 8]], np.float16),
            np.array([[3, 4], [30, 40]]),
        ):
            np.testing.assert_allclose(unit_rows(rows), [[0.6, 0.8]] * 2, rtol=1e-6)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_names_the_row_that_is_not_finite(self, value):
        """The first bad row is named, with its value."""
        rows = np.ones((5, 3))
        rows[3, 1] = value
        with pytest.raises(BadInputError, match=f"row 3 contains {value}"):
            unit_rows(rows)

    def test_names_the_row_of_zeros(self):
        """A row without direction is refused by number."""
        rows = np.ones((5, 3))
        rows[2] = 0
        with pytest.raises(BadInputError, match="row 2 is all zeros"):
            unit_rows(rows)

    @pytest.mark.parametrize(
        "rows", [np.ones(3), np.ones((2, 2, 2)), np.array([["a"]]), np.ones((2, 0))]
    )
    def test_refuses_what_is_no_table_of_numbers(self, rows):
        """Shapes other than [n, d] and types other than real numbers are refused."""
        with pytest.raises(BadInputError, match="features has"):
            unit_rows(rows)

    def test_a_value_error_by_type(self):
        """Callers that know nothing of Shoal can catch ValueError."""
        with pytest.raises(ValueError, match="row 0"):
            unit_rows(np.full((1, 2), np.nan))


class TestCollapse:
    def test_equal_rows_share_a_place_in_order_of_appearance(self):
        """Distinct rows keep their order, and each knows how many images it stands for."""
        unit = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]], np.float32)
        distinct = collapse(unit)
        assert distinct.row.tolist() == [0, 1, 0, 1, 0]
        assert distinct.counts.tolist() == [3, 2]
        np.testing.assert_array_equal(distinct.unit, unit[:2])

    def test_scaled_copies_are_copies(self):
        """Direction alone decides; length and the sign of zero do not."""
        distinct = collapse(unit_rows(np.array([[1.0, 0.0], [2.0, -0.0], [0.5, 0.0]])))
        assert distinct.counts.tolist() == [3]

    def test_colliding_hashes_do_not_merge_different_rows(self, monkeypatch):
        """If every row had the same hash, different rows would still stay apart."""
        monkeypatch.setattr("models.vectors._row_hash", lambda unit: np.zeros(len(unit)))
        unit = np.array([[0, 1], [1, 0], [0, 1]], np.float32)
        assert collapse(unit).row.tolist() == [0, 1, 0]
