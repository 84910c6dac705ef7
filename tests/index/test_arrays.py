"""Arrays as files, on a disk that takes them or does not."""

import numpy as np
import pytest
from full import full_disk

from index import is_disk_error, save_array

ARRAYS = {
    "a number": np.array(7, np.int64),
    "none": np.zeros((0, 30), np.float32),
    "one": np.array([True]),
    "some": np.arange(3_000, dtype=np.int32).reshape(100, 30),
    "every other": np.arange(3_000, dtype=np.float32).reshape(100, 30)[::2, ::3],
    "columns": np.asfortranarray(np.arange(3_000).reshape(100, 30)),
    "many": np.arange(300_000, dtype=np.float32),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_comes_back(tmp_path, name):
    """Values, shape and type, whatever lies between the rows in memory."""
    save_array(tmp_path / "a.npy", ARRAYS[name])
    found = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert found.dtype == ARRAYS[name].dtype
    np.testing.assert_array_equal(found, ARRAYS[name], strict=True)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("missing", [1, 100, 5_000])
def test_no_part_of_an_array_is_left_out_silently(tmp_path, name, missing):
    """Wherever the disk is full, it is the disk's own error, with the file."""
    path = tmp_path / "a.npy"
    save_array(path, ARRAYS[name])
    room = max(0, path.stat().st_size - missing)
    with full_disk(room), pytest.raises(OSError, match="File too large") as raised:
        save_array(path, ARRAYS[name])
    assert is_disk_error(raised.value)
    assert raised.value.__notes__ == [str(path)]
