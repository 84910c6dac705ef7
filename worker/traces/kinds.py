"""Of what kind a file of a data directory is: by its name where that says so, else by its bytes."""

import codecs
from enum import Enum, auto
from pathlib import Path

from worker.recluster.folder import ERRORS, OUTPUT


class Kind(Enum):
    """How a file is searched."""

    CATALOG = auto()  # a SQLite file, a copy of one or a piece, or a log without its file
    LOG = auto()  # the write-ahead log of a file beside it, with which it is searched
    LETTERS = auto()
    TEXT = auto()
    NUMBERS = auto()
    UNKNOWN_TEXT = auto()  # no name that is known, but it reads as text


_TEXTS = frozenset({".json", ".answer", ".tmp"})
_NAMED_TEXTS = frozenset({"lock", "holder", "errors", OUTPUT, ERRORS})
_SQLITE = ".sqlite"
_NUMBERS_OF_SQLITE = (".sums", "-shm")
_LOG = "-wal"

_PAGE_BYTES = 4_096
# The first bytes of SQLite's pages: of the file, of B-trees, and of overflow and free pages the
# first of a page number. https://www.sqlite.org/fileformat2.html
_PAGES = frozenset(b"S\x02\x05\x0a\x0d\x00")

# So much of a file that holds numbers has some that are no text.
_HEAD_BYTES = 1 << 16


def kind_of(path: Path) -> Kind:
    """How to search a file. Raises OSError."""
    if path.name.endswith(_LOG) and path.with_name(path.name.removesuffix(_LOG)).exists():
        return Kind.LOG
    if path.suffix == ".jsonl":
        return Kind.LETTERS
    if path.suffix in _TEXTS or path.name in _NAMED_TEXTS:
        return Kind.TEXT
    if _SQLITE in path.name and not any(part in path.name for part in _NUMBERS_OF_SQLITE):
        return Kind.CATALOG
    if not path.suffix and _has_pages(path):
        return Kind.CATALOG
    return Kind.UNKNOWN_TEXT if _reads_as_text(path) else Kind.NUMBERS


def _has_pages(path: Path) -> bool:
    """Whether it is a part of a SQLite file, cut between two pages."""
    size = path.stat().st_size
    if not size or size % _PAGE_BYTES:
        return False
    with path.open("rb", buffering=0) as file:
        for at in range(0, size, _PAGE_BYTES):
            file.seek(at)
            if not _PAGES.issuperset(file.read(1)):
                return False
    return True


def _reads_as_text(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head
