"""What people ask of a running worker through its data directory, and its answers.

A request is a file `requests/<id>.json`, written aside and renamed; the worker replaces it by
`<id>.answer`. Whoever may write the data directory may ask; nothing listens on a port.
"""

import contextlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import structlog

from index import is_sealed, seal, unseal
from worker.message import COLLECTION_PATTERN

log = structlog.get_logger()

Saying = Literal[
    "name",
    "same",
    "apart",
    "belongs",
    "uncorrect",
    "corrections",
    "truth",
    "questions",
    "answer",
    "unanswer",
]
Verb = Literal["recluster", "publish", "discard", "erase", "backup", "migrate", Saying]

_FOLDER = "requests"
_POLL_SECONDS = 0.1
_ANSWER_SECONDS = 24 * 3_600.0


@dataclass(frozen=True, slots=True)
class Request:
    """One thing asked, and the words that go with the verb. `id` is given by `send`."""

    verb: Verb
    collection: str
    id: str = ""
    words: tuple[str, ...] = ()


class Mailbox:
    """The requests of one data directory; both sides use it."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / _FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)

    def send(self, verb: Verb, collection: str, *words: str) -> str:
        """Ask; returns the id to wait for."""
        id_ = f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}"
        self._write(f"{id_}.json", seal(asdict(Request(verb, collection, id_, words))))
        return id_

    def pending(self) -> Iterator[Request]:
        """Requests without an answer, oldest first.

        What is no request, or damaged, is removed; what cannot be read, or not be removed, is
        passed over.
        """
        for path in sorted(self._folder.glob("*.json")):
            request = None
            with contextlib.suppress(OSError):
                request = _parse(path.stem, path.read_bytes())
                if request is None:
                    path.unlink()
                    log.warning("request removed: it is none, or damaged", path=str(path))
            if request is not None:
                yield request

    def answer(self, request: Request, text: str) -> None:
        """Answer; the request is then no longer pending. Answers nobody fetched for a day go."""
        self._write(f"{request.id}.answer", text)
        (self._folder / f"{request.id}.json").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the next answer tries again
            self.clear(_ANSWER_SECONDS)

    def clear(self, seconds: float) -> None:
        """Remove the answers that nobody fetched for so long, and what was not written to its end.

        Raises `OSError`.
        """
        for path in (*self._folder.glob("*.answer"), *self._folder.glob(".*.tmp")):
            with contextlib.suppress(FileNotFoundError):  # it was fetched, or renamed, just now
                if time.time() - path.stat().st_mtime > seconds:
                    path.unlink()

    def wait(self, id_: str, timeout_seconds: float) -> str | None:
        """Block until the answer is there; None if it did not come in time."""
        path = self._folder / f"{id_}.answer"
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if path.exists():
                text = path.read_text(errors="replace")
                path.unlink()
                return text
            time.sleep(_POLL_SECONDS)
        return None

    def _write(self, name: str, text: str) -> None:
        aside = self._folder / f".{name}.tmp"
        aside.write_text(text)
        os.replace(aside, self._folder / name)  # noqa: PTH105  says atomic


def damaged_requests(data_dir: Path) -> Iterator[Path]:
    """The files of requests that are none, or damaged."""
    for path in sorted((data_dir / _FOLDER).glob("*.json")):
        if _parse(path.stem, path.read_bytes()) is None:
            yield path


def _parse(id_: str, text: bytes) -> Request | None:
    """The request in a file; None if it is none, or not what was written."""
    try:
        # Earlier versions, and other programs that ask, give no checksum.
        found = unseal(text) if is_sealed(text) else json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    verb = next((verb for verb in get_args(Verb) if verb == found.get("verb")), None)
    collection = found.get("collection")
    words = found.get("words", [])
    if verb is None or not isinstance(collection, str):
        return None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    named = re.fullmatch(COLLECTION_PATTERN, collection)
    return Request(verb, collection, id_, tuple(words)) if named else None
