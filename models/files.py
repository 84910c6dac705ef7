"""npz files: read with clear complaints, written whole or not at all."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BadInputError


def read_arrays(path: str | Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The arrays `names` of an npz file. Raises `BadInputError` if it is none or lacks one."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise BadInputError(f"{path} is a single array; it must be an npz file")
        with loaded as file:
            missing = [name for name in names if name not in file.files]
            if missing:
                raise BadInputError(
                    f"{path} has no array {missing[0]!r}; it has {', '.join(file.files) or 'none'}"
                )
            return {name: file[name] for name in names}
    except FileNotFoundError as error:
        raise BadInputError(f"{path} does not exist") from error
    except IsADirectoryError as error:
        raise BadInputError(f"{path} is a folder; it must be an npz file") from error
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        if isinstance(error, BadInputError):
            raise
        raise BadInputError(f"{path} is not an npz file of plain arrays: {error}") from error


def write_arrays(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an npz file at exactly `path`: aside, synced, then renamed over what was there.

    Raises `BadInputError` where nothing can be written.
    """
    target = Path(path)
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise BadInputError(f"{path} cannot be written: {error}") from error
