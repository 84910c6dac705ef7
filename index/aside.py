"""The folder `damaged`: what a repair changes is kept there until the repair is whole."""

import shutil
from pathlib import Path

from index import files

DAMAGED = "damaged"
_KEPT = ".kept"


class Aside:
    """Damaged files of one folder. A repair that was killed begins anew from their copies."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._folder = directory / DAMAGED
        self._doomed = directory / f".{DAMAGED}"

    def put_back(self) -> None:
        """Undo what a repair that did not end has made of the files that it kept."""
        for path in sorted(self._folder.glob(f"*{_KEPT}")):
            shutil.copyfile(path, self._directory / path.name.removesuffix(_KEPT))
            files.sync(self._directory / path.name.removesuffix(_KEPT))

    def keep(self, *paths: Path) -> None:
        """Copy files, those that are there and not kept yet; on the disk when this returns."""
        self._folder.mkdir(exist_ok=True)
        for path in paths:
            kept = self._folder / f"{path.name}{_KEPT}"
            if path.exists() and not kept.exists():
                copy = kept.with_suffix(".copy")
                shutil.copyfile(path, copy)
                files.sync(copy)
                copy.rename(kept)
        files.sync(self._folder)
        files.sync(self._directory)

    def keep_part(self, name: str, content: bytes) -> None:
        """Keep a piece of a file that is too large to be copied; it is not put back by itself."""
        self._folder.mkdir(exist_ok=True)
        files.replace(self._folder / name, content)

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
        self.clear()

    def clear(self) -> None:
        """Remove what a `discard` that did not end has left. Raises OSError."""
        files.remove_tree(self._doomed)
