"""Arrays as `.npy` files: whole, or with the disk's own error."""

import tokenize
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from index.disk import waiting_for


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write what `np.load` reads to `path`; the caller syncs. Blocks; copies no rows that follow
    one another in memory.

    Raises OSError as the disk does: `np.save` tells no errno, and drops that of the last bytes.
    """
    array = np.asarray(array, order="C")
    with waiting_for(path), path.open("wb") as file:
        npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(array))
        file.write(array.data)


def load_array(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    """What `save_array` wrote; `mapped`: it stays on disk, copy on write.

    Raises ValueError where it is no whole array, and OSError.
    """
    try:
        if mapped:
            return npy.open_memmap(path, "c")
        with path.open("rb") as file:
            array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    except (tokenize.TokenError, OverflowError) as error:  # of a header that is none
        raise ValueError(str(error)) from error
    return array
