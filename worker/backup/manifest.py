"""What a backup consists of: files cut into pieces, which are named by their content.

A piece that is there is never sent again, whatever file, collection or backup it is of. The
manifest of a backup is written when all its pieces are there: without it nothing was backed up.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from index import seal, unseal
from worker.errors import CorruptError
from worker.message import COLLECTION_PATTERN
from worker.migration import first_of, is_second

FORMAT = 1
PIECES = "pieces"
BACKUPS = "backups"
SUFFIX = ".json"
NAME_PATTERN = r"\d{8}T\d{6}Z"

_NAME_BYTES = 32


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a file: the blake2b-256 of them in hex, and their number.

    `sums`, of a piece of a vector log: the checksum of the checksums of its blocks, by which it is
    known without being read.
    """

    name: str
    size: int
    sums: str | None = None

    @property
    def path(self) -> str:
        """Its name at the target."""
        return f"{PIECES}/{self.name[:2]}/{self.name}"


Files = Mapping[str, tuple[Piece, ...]]


@dataclass(frozen=True, slots=True)
class Stored:
    """One collection as it was at one moment: its files by path, and what is known of it.

    `positions`: the next offset to take of each source partition.
    """

    images: int
    rows: int
    dimension: int
    model: str | None
    positions: Mapping[str, int]
    files: Files


@dataclass(frozen=True, slots=True)
class Manifest:
    """A backup: its name (the UTC time of its beginning), when it was begun (seconds since 1970),
    the collections by name, second indexes among them, and the files beside them.
    """

    name: str
    begun: float
    shoal: str
    collections: Mapping[str, Stored]
    files: Files

    @property
    def images(self) -> dict[str, int]:
        """How many images each collection has, by name."""
        found = self.collections.items()
        return {name: stored.images for name, stored in found if not is_second(name)}

    def pieces(self) -> Iterator[Piece]:
        """Every piece of every file; one that is in several comes several times."""
        for files in (self.files, *(stored.files for stored in self.collections.values())):
            for pieces in files.values():
                yield from pieces

    def missing(self, sizes: Mapping[str, int]) -> list[Piece]:
        """The pieces that are not among the files of a target, or have another size there."""
        return [piece for piece in self.pieces() if sizes.get(piece.path) != piece.size]

    @property
    def path(self) -> str:
        """Its name at the target."""
        return path_of(self.name)


def path_of(name: str) -> str:
    """Where the manifest of a backup is, at the target."""
    return f"{BACKUPS}/{name}{SUFFIX}"


def piece_name(content: bytes | memoryview) -> str:
    """The name of a piece."""
    return hashlib.blake2b(content, digest_size=_NAME_BYTES).hexdigest()


def write(manifest: Manifest) -> bytes:
    """The bytes of a manifest, which carry their own checksum."""
    return seal({"format": FORMAT, **asdict(manifest)}).encode()


def read(name: str, content: bytes) -> Manifest:
    """A manifest from its bytes. Raises `CorruptError` where it is not one, whole."""
    try:
        fields = unseal(content)
        if fields.pop("format") != FORMAT:
            raise ValueError(f"written by another version; this one reads format {FORMAT}")  # noqa: TRY301  one place says what is wrong
        collections = {
            _checked(name): Stored(**{**stored, "files": _files(stored["files"])})
            for name, stored in fields["collections"].items()
        }
        read = Manifest(**{**fields, "collections": collections, "files": _files(fields["files"])})
        if read.name != name:
            raise ValueError(f"it is the backup {read.name!r}")  # noqa: TRY301  as above
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(f"backup {name}: its manifest is damaged: {error}") from error
    return read


def _files(fields: Mapping[str, Any]) -> Files:
    """Files from JSON, whose paths stay where they belong."""
    for path in fields:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts:
            raise ValueError(f"{path!r} is no path of a file")
    return {path: tuple(Piece(**piece) for piece in pieces) for path, pieces in fields.items()}


def _checked(name: str) -> str:
    """The name of a collection, or of its second index."""
    if not re.fullmatch(COLLECTION_PATTERN, first_of(name)):
        raise ValueError(f"{name!r} must match {COLLECTION_PATTERN}")
    return name
