"""A folder of arrays with a manifest, written aside and renamed: whole or not there at all."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from index import (
    agrees,
    compare_file,
    file_checksum,
    is_disk_error,
    load_array,
    parsed,
    remove_tree,
    save_array,
    seal,
    sync_folder,
    unseal,
)
from worker.errors import CorruptError

MANIFEST = "manifest.json"
FORMAT = 2
# Of this format the manifest carries no checksum of its own, and a view none of its files.
UNSEALED_FORMAT = 1
ASIDE = ".aside-"
DOOMED = f"{ASIDE}doomed-"
# Beside a view: what the process that reads it prints.
OUTPUT = "stdout"
ERRORS = "stderr"

Attachment = Callable[[Path], object]
"""Called with a path; writes one file there."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What `read_folder` found: arrays by name, and the manifest's own fields."""

    arrays: Mapping[str, NDArray[Any]]
    meta: Mapping[str, Any]


def write_folder(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    meta: Mapping[str, Any],
    *,
    durable: bool,
    attachments: Mapping[str, Attachment] | None = None,
) -> None:
    """Write `<name>.npy` for each array, the attached files and the manifest to the folder `path`.

    The manifest has a checksum of every file, and of itself. `path` is replaced if it exists; its
    parent is made, but not what that lies in: where the disk is away nothing is written in its
    place. `durable` also syncs all of it to the disk before the rename, and the names after it.
    Blocks. Raises `OSError`.
    """
    path.parent.mkdir(exist_ok=True)
    aside = path.parent / f"{ASIDE}{path.name}"
    remove_tree(aside)
    aside.mkdir()
    for name, array in arrays.items():
        save_array(aside / f"{name}.npy", array)
    for name, write in (attachments or {}).items():
        write(aside / name)
    files = sorted(file.name for file in aside.iterdir())
    checksums = {name: file_checksum(aside / name) for name in files}
    manifest = {"format": FORMAT, "files": checksums, "meta": dict(meta)}
    (aside / MANIFEST).write_text(seal(manifest), encoding="utf-8")
    if durable:
        for name in (*files, MANIFEST):
            sync_folder(aside / name)
        sync_folder(aside)
    remove_folder(path)
    aside.rename(path)
    if durable:
        sync_folder(path.parent)
        sync_folder(path.parent.parent)  # where that was made, now or before


def read_folder(path: Path, *, mapped: frozenset[str] = frozenset()) -> Folder:
    """Read a folder back; the arrays named in `mapped` stay on disk (copy on write).

    Checks that every file is there, and its checksum. Raises `CorruptError` naming the file, and
    `OSError` where the disk does not give it.
    """
    manifest = _read_manifest(path / MANIFEST)
    for name, expected in manifest["files"].items():
        if not (path / name).is_file():
            raise CorruptError(f"{path / name}: missing")
        if expected is not None and not agrees(path / name, expected):
            raise CorruptError(f"{path / name}: its checksum is not the manifest's")
    files = [path / name for name in manifest["files"] if name.endswith(".npy")]
    return Folder({file.stem: _load(file, mapped) for file in files}, manifest["meta"])


def scrub_folder(path: Path) -> Iterator[int]:
    """Compare the files of a folder with their checksums; yields the bytes of each slice.

    It may be replaced between two slices: then what is there now is compared. Raises as
    `read_folder`, and CorruptError where the folder is not there.
    """
    manifest = _read_manifest(path / MANIFEST)
    try:
        yield from _scrub_files(path, manifest["files"])
    except (CorruptError, FileNotFoundError):
        if _read_manifest(path / MANIFEST) == manifest:
            raise
        yield from scrub_folder(path)


def _scrub_files(path: Path, checksums: Mapping[str, str | None]) -> Iterator[int]:
    for name, expected in checksums.items():
        if expected is not None and not (yield from compare_file(path / name, expected)):
            raise CorruptError(f"{path / name}: its checksum is not the manifest's")


def remove_folder(path: Path) -> None:
    """Remove a folder so that no part of it is ever seen under its name. Raises `OSError`."""
    if path.exists():
        doomed = path.parent / f"{DOOMED}{path.name}"
        remove_tree(doomed)
        path.rename(doomed)
        sync_folder(path.parent)  # before its files go: their names may leave the disk first
        shutil.rmtree(doomed)


def _load(file: Path, mapped: frozenset[str]) -> NDArray[Any]:
    try:
        return load_array(file, mapped=file.stem in mapped)
    except (OSError, ValueError) as error:
        if is_disk_error(error):
            raise
        raise CorruptError(f"{file}: {error}") from error


def _read_manifest(file: Path) -> Mapping[str, Any]:
    try:
        manifest = _unsealed(file.read_bytes())
    except (OSError, ValueError) as error:
        if is_disk_error(error):
            raise
        raise CorruptError(f"{file}: {error}") from error
    if not all(isinstance(manifest.get(name), dict) for name in ("files", "meta")):
        raise CorruptError(f"{file}: no manifest of this program")
    return manifest


def _unsealed(content: bytes) -> Mapping[str, Any]:
    """The fields of a manifest. Raises ValueError."""
    manifest = parsed(content)
    version = manifest.get("format")
    if version == UNSEALED_FORMAT:
        return manifest
    if version != FORMAT:
        raise ValueError(f"format {version!r}; this program reads up to {FORMAT}")
    return unseal(content)
