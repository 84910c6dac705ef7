"""npz files: read with clear complaints, written whole or not at all."""

import os
import zipfile
from collections.abc import Iterable, Mapping
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
    aside = _aside(target)
    try:
        with aside.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise BadInputError(f"{path} cannot be written: {error}") from error


def require_writable(path: str | Path, read: Iterable[Path]) -> None:
    """Write to the folder of `path` once, so that a long run is not for nothing.

    Raises `BadInputError` where `write_arrays` could not write `path`, or would write over what is
    there and no file, or one of the files that are `read`.
    """
    target = Path(path)
    try:
        refuse_input(target, read)
        if target.exists() and not target.is_file():
            raise BadInputError(
                f"{path} is no file; the output must be a file, or not be there yet"
            )
        aside = _aside(target)
        with aside.open("wb") as probe:
            probe.write(b"0")
        aside.unlink()
    except OSError as error:
        raise BadInputError(
            f"{path} cannot be written: {error.strerror}; {target.parent} must be a folder that "
            "can be written to"
        ) from error


def _aside(target: Path) -> Path:
    """Where a file is written before it is renamed to `target`."""
    return target.with_name(f".{target.name}.{os.getpid()}.part")


def refuse_input(path: Path, read: Iterable[Path]) -> None:
    """Raise `BadInputError` where `path` is one of the files that are `read`, by whatever name."""
    for file in read:
        if path.exists() and file.exists() and path.samefile(file):
            raise BadInputError(f"{path} is {file}, which is read; the output must be another file")
