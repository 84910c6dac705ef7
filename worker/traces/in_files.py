"""Every file of a data directory that has to do with one collection."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.collections import FOLDER, MAKING
from worker.migration import FORMER, second_of
from worker.recluster.folder import DOOMED
from worker.traces.in_catalog import in_catalog
from worker.traces.scan import places
from worker.traces.sought import SURE_BYTES, Sought, Trace, times

# Files of text; every other one holds numbers.
_TEXT = frozenset({".json", ".answer", ".tmp", ""})
_CODED = frozenset({"key", "value"})


@dataclass
class Searched:
    """How much was searched."""

    files: int = 0
    bytes: int = 0
    keys: int = 0


def in_files(
    data_dir: Path, collection: str, sought: Sought, searched: Searched
) -> Iterator[Trace]:
    """Traces in the folders of the collection, those that a kill left among them, and in the files
    that all collections share.

    A file that goes away meanwhile is passed over.
    """
    indexes = {collection, second_of(collection)}
    left = {f"{how}{index}" for how in (MAKING, DOOMED) for index in indexes}
    own = {*indexes, *left, f"{FORMER}{collection}"}
    for path in sorted(data_dir.rglob("*")):
        inside = path.relative_to(data_dir).parts
        if (inside[0] == FOLDER and own.isdisjoint(inside[1:2])) or not path.is_file():
            continue
        try:
            searched.bytes += path.stat().st_size
            yield from _in_file(path, str(path.relative_to(data_dir)), sought)
        except FileNotFoundError:
            continue
        searched.files += 1


def _in_file(path: Path, where: str, sought: Sought) -> Iterator[Trace]:
    if path.suffix == ".sqlite":
        yield from in_catalog(path, where, sought)
    elif path.suffix == ".sqlite-wal":
        return  # with its file
    elif path.suffix == ".jsonl":
        yield from _in_letters(path, where, sought)
    elif path.suffix in _TEXT:
        what = sought.in_text(path.read_text("utf-8", errors="replace"))
        if what is not None:
            yield Trace(where, what, "named in the text")
    else:
        yield from _in_numbers(path, where, sought)


def _in_numbers(path: Path, where: str, sought: Sought) -> Iterator[Trace]:
    for what, content in sought.patterns:
        if what == "id" and len(content) < SURE_BYTES:
            continue
        found = places(path, content)
        if found:
            yield Trace(where, what, f"in its bytes: {times(len(found))}, first at {found[0]}")


def _in_letters(path: Path, where: str, sought: Sought) -> Iterator[Trace]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            for content in _contents(line):
                what = sought.in_text(content.decode(errors="replace"))
                if what is None and any(vector in content for vector in sought.vectors):
                    what = "vector"
                if what is not None:
                    yield Trace(where, what, f"line {number}")
                    break


def _contents(line: bytes) -> Iterator[bytes]:
    """The bytes that a dead letter keeps, and what is said of them."""
    try:
        letter = json.loads(line)
        coded = [letter[name] for name in _CODED] + [value for _, value in letter["headers"]]
        yield from (base64.b64decode(text) for text in coded if text)
        yield str(letter["detail"]).encode()
    except (ValueError, KeyError, TypeError):
        yield line
