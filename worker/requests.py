"""What people ask of a running worker through its data directory, and its answers.

A request is a file `requests/<id>.json`, written aside and renamed; the worker replaces it by
`<id>.answer`. Whoever may write the data directory may ask; nothing listens on a port.
"""

import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Verb = Literal["recluster", "publish", "discard"]

_FOLDER = "requests"
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Request:
    """One thing asked. `id` is given by `send`."""

    verb: Verb
    collection: str
    id: str = ""


class Mailbox:
    """The requests of one data directory; both sides use it."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / _FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)

    def send(self, verb: Verb, collection: str) -> str:
        """Ask; returns the id to wait for."""
        id_ = f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}"
        self._write(f"{id_}.json", json.dumps(asdict(Request(verb, collection, id_))))
        return id_

    def pending(self) -> Iterator[Request]:
        """Requests without an answer, oldest first; what is no request is removed."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                yield Request(**json.loads(path.read_text()))
            except (ValueError, TypeError):
                path.unlink(missing_ok=True)

    def answer(self, request: Request, text: str) -> None:
        """Answer; the request is then no longer pending."""
        self._write(f"{request.id}.answer", text)
        (self._folder / f"{request.id}.json").unlink(missing_ok=True)

    def wait(self, id_: str, timeout_seconds: float) -> str | None:
        """Block until the answer is there; None if it did not come in time."""
        path = self._folder / f"{id_}.answer"
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if path.exists():
                text = path.read_text()
                path.unlink()
                return text
            time.sleep(_POLL_SECONDS)
        return None

    def _write(self, name: str, text: str) -> None:
        aside = self._folder / f".{name}.tmp"
        aside.write_text(text)
        os.replace(aside, self._folder / name)  # noqa: PTH105  says atomic
