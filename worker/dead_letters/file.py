"""Dead letters as lines of JSON in a file, each with its checksum."""

import base64
import json
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from index import seal, unseal
from index.files import replace
from worker.dead_letters.base import DeadLetter
from worker.decode import FieldNames, look_up
from worker.errors import SettingsError, SourceUnavailableError

log = structlog.get_logger()

_ERASED = b'{"reason": "erased"}'
_FIELDS = ("reason", "detail", "partition", "offset", "time", "key", "value", "headers")


class FileDeadLetters:
    """Appends one JSON object a line to `path`; its bytes (key, value, headers) are base64."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._good: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise SettingsError(f"dead letters: {path}: {error.strerror}") from error
        self._end_last_line()

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """See `DeadLetters.send`; the file is synced."""
        lines = "".join(seal(_fields(letter), indent=None) for letter in letters).encode()
        try:
            self._cut()
            self._good = os.fstat(self._file).st_size
            _write_all(self._file, lines)
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):  # then it is cut by the next attempt
                self._cut()
            raise SourceUnavailableError(f"dead letters: {self._path}: {error}") from error
        self._good = None

    def _cut(self) -> None:
        """Take away what an attempt that failed left; all of it is written again."""
        if self._good is not None:
            os.ftruncate(self._file, self._good)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _end_last_line(self) -> None:
        """A process that was killed while it wrote may have left half a line."""
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")


def forget_letters(
    path: Path, collection: str, images: Collection[str], fields: FieldNames | None = None
) -> None:
    """Overwrite the letters whose record is, or may be, that of one of `images` of `collection`.

    `fields` says where records have ids and collections; without it, ids are keys.
    Each becomes a line of the same length that says so: a process that has the file open goes on
    writing at its end. Letters of records that name another collection stay; those that are not
    what was written go, as nobody can tell whose they are. Lines that were overwritten before are
    so again: the sync that was to confirm it may have failed. Blocks. Raises `OSError`.
    """
    if not images or not path.exists():
        return
    fields = fields or FieldNames()
    with path.open("r+b") as file:
        start = 0
        for number, line in enumerate(iter(file.readline, b""), 1):
            whole = _is_whole(line)
            if not whole:
                log.warning("damaged dead letter removed", file=str(path), line=number)
            if not whole or _may_be_of(line, images, collection, fields):
                _overwrite(file.fileno(), start, _blank(line.removesuffix(b"\n")))
            start += len(line)
        os.fsync(file.fileno())


def damaged_letters(path: Path) -> list[int]:
    """The lines, from 1, that are not what was written, or were not written to their end.

    Raises `OSError`.
    """
    with path.open("rb") as file:
        return [number for number, line in enumerate(file, 1) if not _is_whole(line)]


def drop_damaged(path: Path) -> None:
    """Remove those lines; for who holds the lock of the data directory. Raises `OSError`."""
    lines = path.read_bytes().splitlines(keepends=True)
    replace(path, b"".join(line for line in lines if _is_whole(line)))


def _is_whole(line: bytes) -> bool:
    if line.strip() in {b"", _ERASED}:
        return True
    try:
        unseal(line, bare=_FIELDS)
    except ValueError:
        return False
    return True


def _blank(text: bytes) -> bytes:
    """What stands in the place of `text` then: spaces where there is no room for words."""
    said = _ERASED if len(text) >= len(_ERASED) else b""
    return said.ljust(len(text))


def _may_be_of(line: bytes, ids: Collection[str], collection: str, fields: FieldNames) -> bool:
    """Whether a line that is whole, as far as that is known, is the letter of one of `ids`, or
    cannot be shown to be another's.
    """
    try:
        letter = json.loads(line)
        body = _body(letter)
        return _names(letter, body, ids, fields) and _collection(letter, body, fields) in {
            None,
            collection,
        }
    except (ValueError, KeyError, TypeError):  # overwritten before, or not known to be whole
        return True


def _body(letter: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON object that the record of a letter is; None if it is none."""
    with suppress(ValueError, RecursionError):
        body = json.loads(_raw(letter["value"]) or b"")
        return body if isinstance(body, dict) else None
    return None


def _names(
    letter: dict[str, Any], body: dict[str, Any] | None, ids: Collection[str], fields: FieldNames
) -> bool:
    """Whether the key, or what stands where ids do, is one of `ids`; anywhere in what cannot be
    read.
    """
    named = [_raw(letter["key"]) or b""]
    if fields.id is not None:
        named += _headers(letter, fields.id)
        if body is None:
            value = _raw(letter["value"]) or b""
            return any(id_.encode() in named or id_.encode() in value for id_ in ids)
        named.append(str(look_up(body, tuple(fields.id.split(".")))).encode())
    return any(id_.encode() in named for id_ in ids)


def _collection(
    letter: dict[str, Any], body: dict[str, Any] | None, fields: FieldNames
) -> str | None:
    """The collection that the record of a letter names; None if it names none."""
    in_body = look_up(body, tuple(fields.collection.split(".")))
    if isinstance(in_body, str | int):
        return str(in_body)
    named = _headers(letter, fields.collection)
    return named[-1].decode(errors="replace") if named else None


def _headers(letter: dict[str, Any], name: str) -> list[bytes]:
    return [_raw(value) or b"" for header, value in letter["headers"] if header == name]


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _overwrite(file: int, start: int, data: bytes) -> None:
    while data:
        written = os.pwrite(file, data, start)
        start, data = start + written, data[written:]


def _fields(letter: DeadLetter) -> dict[str, object]:
    raw = letter.raw
    return {
        "reason": letter.reason,
        "detail": letter.detail,
        "partition": raw.partition,
        "offset": raw.offset,
        "time": raw.time,
        "key": _text(raw.key),
        "value": _text(raw.value),
        "headers": [[name, _text(value)] for name, value in raw.headers],
    }


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _raw(text: str | None) -> bytes | None:
    """The bytes of which `_text` made `text`. Raises ValueError or TypeError where it did not."""
    return None if text is None else base64.b64decode(text, validate=True)
