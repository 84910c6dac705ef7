"""The folder `damaged`: what a repair changes is kept there until the repair is whole."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from index import files
from index.errors import CorruptError
from index.sealed import unseal

T = TypeVar("T")

DAMAGED = "damaged"
_KEPT = ".kept"
_ABSENT = ".absent"
NOTE = "repaired.json"


class Aside:
    """Damaged files of one folder. A repair that was killed begins anew from their copies."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._folder = directory / DAMAGED
        self._doomed = directory / f".{DAMAGED}"

    def put_back(self) -> None:
        """Undo what a repair that did not end has made of the files that it kept; what was not
        there goes.
        """
        for path in self._folder.glob(f"*{_ABSENT}"):
            (self._directory / path.name.removesuffix(_ABSENT)).unlink(missing_ok=True)
        for path in sorted(self._folder.glob(f"*{_KEPT}")):
            shutil.copyfile(path, self._directory / path.name.removesuffix(_KEPT))
            files.sync(self._directory / path.name.removesuffix(_KEPT))
        files.sync(self._directory)

    def keep(self, *paths: Path) -> None:
        """Copy files that are not kept yet, or keep that they are not there; on the disk when this
        returns.
        """
        self._folder.mkdir(exist_ok=True)
        for path in paths:
            kept = self._folder / f"{path.name}{_KEPT}"
            absent = self._folder / f"{path.name}{_ABSENT}"
            if kept.exists() or absent.exists():
                continue
            if not path.exists():
                absent.touch()
                continue
            copy = kept.with_suffix(".copy")
            shutil.copyfile(path, copy)
            files.sync(copy)
            copy.rename(kept)
        files.sync(self._folder)
        files.sync(self._directory)

    def keep_part(self, name: str, content: bytes) -> bytes:
        """Keep a piece of a file that is too large to be copied; it is not put back by itself.

        Returns what is kept: of several runs that of the first.
        """
        path = self._folder / name
        if not path.exists():
            self._folder.mkdir(exist_ok=True)
            files.replace(path, content)
        return path.read_bytes()

    def note(self, content: bytes) -> None:
        """Keep a word for the run that ends the repair; on the disk when this returns."""
        self._folder.mkdir(exist_ok=True)
        files.replace(self._folder / NOTE, content)
        files.sync(self._directory)

    def noted(self) -> bytes | None:
        """The last word that was kept, if any."""
        path = self._folder / NOTE
        return path.read_bytes() if path.exists() else None

    def move(self, path: Path) -> None:
        """Move a folder that can be spared here."""
        self._folder.mkdir(exist_ok=True)
        target = self._folder / path.name
        shutil.rmtree(target, ignore_errors=True)
        path.rename(target)
        files.sync(path.parent)

    def discard(self) -> None:
        """Forget all of it: the repair is whole. Raises OSError; call it again then."""
        if self._folder.is_dir():
            self.clear()
            self._folder.rename(self._doomed)
            files.sync(self._directory)
        self.clear()

    def clear(self) -> None:
        """Remove what a `discard` that did not end has left. Raises OSError."""
        files.remove_tree(self._doomed)


def unsealed(name: str, content: bytes, make: Callable[[dict[str, Any]], T], what: str) -> T:
    """What `make` makes of the fields of a sealed file that is kept aside by this name.

    Raises CorruptError, which says `what` is not known any more, when it is damaged.
    """
    try:
        return make(unseal(content))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(
            f"{DAMAGED}/{name}: {error}: {what} is not known any more; put a backup back, or remove"
            " this file and run it again"
        ) from error
