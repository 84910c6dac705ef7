"""Every file of a data directory."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from worker.collections import FOLDER, MAKING
from worker.migration import FORMER, SECOND
from worker.recluster.folder import DOOMED
from worker.traces.in_catalog import in_catalog
from worker.traces.kinds import Kind, kind_of
from worker.traces.scan import places
from worker.traces.sought import SURE_BYTES, Sought, Trace, times

_CODED = frozenset({"key", "value"})


@dataclass
class Searched:
    """How much was searched; `unread_keys` are those whose values could not be."""

    files: int = 0
    bytes: int = 0
    keys: int = 0
    unread_keys: int = 0


def in_files(
    data_dir: Path, collection: str, sought: Sought, searched: Searched
) -> Iterator[Trace]:
    """Traces in every file below `data_dir`, those that a kill left among them.

    A file that goes away meanwhile is passed over.
    """
    for path in sorted(data_dir.rglob("*")):
        if not path.is_file():
            continue
        inside = path.relative_to(data_dir)
        owner = _owner(inside, collection)
        try:
            searched.bytes += path.stat().st_size
            for trace in _in_file(path, str(inside), sought):
                yield trace if owner is None else replace(trace, owner=owner)
        except FileNotFoundError:
            continue
        searched.files += 1


def _owner(inside: Path, collection: str) -> str | None:
    """The `Trace.owner` of what is found in a file."""
    if inside.parts[0] != FOLDER or len(inside.parts) < 3:
        return None
    name = inside.parts[1]
    for how in (MAKING, DOOMED, FORMER, SECOND):
        name = name.removeprefix(how)
    return None if name == collection else name


def _in_file(path: Path, where: str, sought: Sought) -> Iterator[Trace]:
    kind = kind_of(path)
    if kind is Kind.CATALOG:
        yield from in_catalog(path, where, sought)
    elif kind is Kind.LETTERS:
        yield from _in_letters(path, where, sought)
    if kind in {Kind.TEXT, Kind.UNKNOWN_TEXT}:
        what = sought.in_text(path.read_text("utf-8", errors="replace"))
        if what is not None:
            yield Trace(where, what, "named in the text")
    if kind in {Kind.NUMBERS, Kind.UNKNOWN_TEXT}:
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
                what = sought.in_content(content)
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
    except (ValueError, KeyError, TypeError, RecursionError):
        yield line
