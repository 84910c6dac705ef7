"""Every key and value in Redis."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from redis.exceptions import NoPermissionError

from worker.message import COLLECTION_PATTERN
from worker.store.connection import connect, unavailability
from worker.store.keys import collections_key
from worker.store.plan import chunks
from worker.traces.in_files import Searched
from worker.traces.sought import FOREIGN, Sought, Trace, times

_KEYS_TOGETHER = 200
_ENTRIES_TOGETHER = 2_000

_Texts = Callable[[Any, bytes], Iterable[bytes]]


def in_redis(
    url: str, prefix: str, collection: str, sought: Sought, searched: Searched
) -> Iterator[Trace]:
    """Traces in all keys and values of the database, whatever they are for and whoever made them.

    Values that the user of the URL may not read, and those of types that only modules know, are
    counted as not searched. Raises `StoreUnavailableError`.
    """
    # Keys and values of other programs may be any bytes.
    server = connect(url, decode=False)
    try:
        with unavailability():
            for keys in chunks(server.scan_iter(count=_KEYS_TOGETHER), _KEYS_TOGETHER):
                searched.keys += len(keys)
                for key, kind in zip(keys, _kinds(server, keys), strict=True):
                    owner = _owner(key, prefix, collection)
                    try:
                        yield from _in_key(server, key, kind, sought, owner)
                    except NoPermissionError:
                        searched.unread_keys += 1
                    if kind not in _TEXTS and kind not in _GONE:
                        searched.unread_keys += 1
    finally:
        server.close()


def _owner(key: bytes, prefix: str, collection: str) -> str | None:
    """The `Trace.owner` of what is found in a key."""
    name = key.decode(errors="replace")
    named = re.match(rf"{re.escape(prefix)}:\{{([^}}]*)\}}:", name)
    if named is None or not re.fullmatch(COLLECTION_PATTERN, named[1]):
        return None if name == collections_key(prefix) else FOREIGN
    return None if named[1] == collection else named[1]


def _kinds(server: Any, keys: list[bytes]) -> list[str]:
    """The type of each key; that of one that may not be read is not known."""
    pipe = server.pipeline(transaction=False)
    for key in keys:
        pipe.type(key)
    kinds = pipe.execute(raise_on_error=False)
    for kind in kinds:
        if isinstance(kind, Exception) and not isinstance(kind, NoPermissionError):
            raise kind
    return ["" if isinstance(kind, Exception) else kind.decode() for kind in kinds]


def _in_key(
    server: Any, key: bytes, kind: str, sought: Sought, owner: str | None
) -> Iterator[Trace]:
    where = f"redis {key.decode(errors='replace')}"
    if (what := sought.in_content(key)) is not None:
        yield Trace(where, what, "the name of the key", owner)
    if kind not in _TEXTS:
        return
    found = [sought.in_content(text) for text in _TEXTS[kind](server, key)]
    for what in sorted({what for what in found if what is not None}):
        yield Trace(where, what, f"{kind}: {times(found.count(what))}", owner)


def _of_stream(server: Any, key: bytes) -> Iterator[bytes]:
    start = b"-"
    while entries := server.xrange(key, start, count=_ENTRIES_TOGETHER):
        for _, fields in entries:
            # One entry is one place, however often it names the image.
            yield from dict.fromkeys(text for pair in fields.items() for text in pair)
        start = b"(" + entries[-1][0]


# How every text in the value of a key is read, by its type.
_TEXTS: dict[str, _Texts] = {
    "string": lambda server, key: [server.get(key) or b""],
    "hash": lambda server, key: (text for pair in server.hgetall(key).items() for text in pair),
    "set": lambda server, key: server.sscan_iter(key, count=_ENTRIES_TOGETHER),
    "zset": lambda server, key: (m for m, _ in server.zscan_iter(key, count=_ENTRIES_TOGETHER)),
    "list": lambda server, key: server.lrange(key, 0, -1),
    "stream": _of_stream,
}
# A key that went away meanwhile.
_GONE = {"none"}
