import pytest

from index.errors import CorruptError, FormatError
from models.errors import BadInputError
from worker.cli import exit_status
from worker.errors import BadStreamError, LeaseError, StoreUnavailableError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (LeaseError("main", "other"), 4),
        (BadStreamError("too many"), 6),
        (FormatError("newer"), 3),
        (CorruptError("vectors.f32"), 7),
        (BadInputError("row 3"), 2),
        (StoreUnavailableError("away"), 75),
        (KeyError("a defect"), None),
    ],
)
def test_exit_status(error, status):
    """Each kind of error ends the command with the status that the README lists for it."""
    assert exit_status(error) == status
