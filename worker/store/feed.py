"""Following a stream of events, without the asking: says what to ask next and reads the reply."""

import time
from collections.abc import Sequence
from typing import Any

from worker.store.base import Event
from worker.store.codec import decode_event
from worker.store.queries import Command

# Well below the read time-out of the connection, which would break it off.
_SLICE_SECONDS = 2.0
_ENTRIES = 500


class Feed:
    """Where a follower of one stream is; `Reader.events` says what the parameters mean."""

    def __init__(self, stream: str, after: str, block_seconds: float | None) -> None:
        self._stream = stream
        self._after = after
        self._block_seconds = block_seconds
        self._since = time.monotonic()
        self._over = False

    def next_command(self) -> Command | None:
        """The XREAD to send, None when the wait is over."""
        if self._over:
            return None
        wait = _SLICE_SECONDS
        if self._block_seconds is not None:
            left = self._since + self._block_seconds - time.monotonic()
            wait = min(wait, left)
            self._over = wait == left
        block = ("BLOCK", max(1, round(wait * 1000))) if wait > 0 else ()
        return ("XREAD", "COUNT", _ENTRIES, *block, "STREAMS", self._stream, self._after)

    def take(self, streams: Sequence[Any] | None) -> list[tuple[str, Event]]:
        """The entries in the reply, each with its id."""
        entries = [
            (entry, decode_event(fields)) for _, all_ in streams or () for entry, fields in all_
        ]
        if entries:
            self._after = entries[-1][0]
            self._since = time.monotonic()
            self._over = False
        return entries
