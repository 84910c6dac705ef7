"""Arrays as files, on a disk that takes them or does not."""

from contextlib import suppress

import numpy as np
import pytest
from full import full_disk

from index import is_disk_error, load_array, save_array

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


@pytest.mark.parametrize("mapped", [False, True])
def test_a_short_file_is_no_array(tmp_path, mapped):
    """Wherever its end is."""
    path = tmp_path / "a.npy"
    save_array(path, np.arange(50))
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"\w"):
            load_array(path, mapped=mapped)


@pytest.mark.parametrize("mapped", [False, True])
def test_other_bytes_are_an_array_or_a_value_error(tmp_path, mapped):
    """A header may be anything; what has a pickle or an archive in it is no array."""
    path, random = tmp_path / "a.npy", np.random.default_rng(0)
    save_array(path, np.arange(50))
    content = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(2_000):
        garbled = content.copy()
        at = random.integers(128, size=random.integers(1, 9))
        garbled[at] = random.choice(
            np.frombuffer(b"(){}[]',:0919<>fiO\n \xff\0", np.uint8), len(at)
        )
        path.write_bytes(garbled.tobytes())
        with suppress(ValueError):
            load_array(path, mapped=mapped)
    for start in (b"PK\x03\x04", b"\x80\x04"):
        path.write_bytes(start + content.tobytes())
        with pytest.raises(ValueError, match="magic"):
            load_array(path, mapped=mapped)
