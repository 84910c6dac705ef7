"""How kernels are compiled, and where the machine code is kept between processes."""

import hashlib
import inspect
import os
import stat
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numpy.typing import NDArray

Kernel = TypeVar("Kernel", bound=Callable[..., object])

Array = NDArray[Any]
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

# Sums may be taken in any order, which is what lets them use the whole width of a register.
_REORDER = {"reassoc", "contract", "nsz"}


def compiled(function: Kernel) -> Kernel:
    """Compile `function` on its first call, or load what an earlier process compiled.

    It runs without the interpreter's lock, and neither checks bounds nor raises.
    """
    folder = cache_folder(Path(inspect.getfile(function)).parent)
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = "" if folder is None else str(folder)
    try:
        compile_it: Any = numba.njit(
            cache=folder is not None, nogil=True, error_model="numpy", fastmath=_REORDER
        )
        return cast("Kernel", compile_it(function))
    finally:
        config.CACHE_DIR = before


def cache_folder(kernels: Path = Path(__file__).parent) -> Path | None:
    """Where the machine code of the folder `kernels` is kept; None where nothing can be written,
    or others could have: numba unpickles what it finds there.

    `NUMBA_CACHE_DIR` if that is set, else the user's cache folder. Below it each version of the
    folder, and of this one, has its own, since a kernel holds a copy of those that it calls.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(cache) / "shoal" / "kernels")
    folder = base / _version(kernels)
    try:
        for made in (base, folder):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours_alone(base, folder):
            return None
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def _is_ours_alone(base: Path, folder: Path) -> bool:
    """Whether nobody else but root can have put anything into `folder`, or `folder` into `base`."""
    above, itself, us = base.stat(), folder.stat(), os.geteuid()
    return (
        above.st_uid in {0, us}
        and (not above.st_mode & _OTHERS_WRITE or bool(above.st_mode & stat.S_ISVTX))
        and itself.st_uid == us
        and not itself.st_mode & _OTHERS_WRITE
    )


@cache
def _version(kernels: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted({*kernels.glob("*.py"), *Path(__file__).parent.glob("*.py")}):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
