"""Every key and value of one collection in Redis."""

from collections.abc import Iterable, Iterator
from typing import Any

from worker.store.connection import connect, unavailability
from worker.store.keys import Keys, collections_key
from worker.store.plan import chunks
from worker.traces.in_files import Searched
from worker.traces.sought import Sought, Trace, times

_KEYS_TOGETHER = 200
_ENTRIES_TOGETHER = 2_000


def in_redis(
    url: str, prefix: str, collection: str, sought: Sought, searched: Searched
) -> Iterator[Trace]:
    """Traces in the keys and values of the collection, whatever they are for.

    Raises `StoreUnavailableError`.
    """
    server = connect(url)
    try:
        with unavailability():
            for keys in chunks(_keys(server, prefix, collection), _KEYS_TOGETHER):
                searched.keys += len(keys)
                for key, kind in zip(keys, _kinds(server, keys), strict=True):
                    yield from _in_key(server, key, kind, sought)
    finally:
        server.close()


def _keys(server: Any, prefix: str, collection: str) -> Iterator[str]:
    yield collections_key(prefix)
    pattern = "".join(f"\\{c}" if c in "[]*?\\" else c for c in Keys(prefix, collection).tag)
    yield from server.scan_iter(f"{pattern}:*", count=_KEYS_TOGETHER)


def _kinds(server: Any, keys: list[str]) -> list[str]:
    pipe = server.pipeline(transaction=False)
    for key in keys:
        pipe.type(key)
    kinds: list[str] = pipe.execute()
    return kinds


def _in_key(server: Any, key: str, kind: str, sought: Sought) -> Iterator[Trace]:
    if sought.in_text(key) is not None:
        yield Trace(f"redis {key}", "id", "the name of the key")
    hits = sum(sought.in_text(text) is not None for text in _texts(server, key, kind))
    if hits:
        yield Trace(f"redis {key}", "id", f"{kind}: {times(hits)}")


def _texts(server: Any, key: str, kind: str) -> Iterable[str]:
    """Every text in the value of a key."""
    if kind == "string":
        return [server.get(key) or ""]
    if kind == "hash":
        return (text for pair in server.hgetall(key).items() for text in pair)
    if kind == "set":
        return map(str, server.sscan_iter(key, count=_ENTRIES_TOGETHER))
    if kind == "zset":
        return (member for member, _ in server.zscan_iter(key, count=_ENTRIES_TOGETHER))
    if kind == "list":
        return map(str, server.lrange(key, 0, -1))
    return _of_stream(server, key)


def _of_stream(server: Any, key: str) -> Iterator[str]:
    start = "-"
    while entries := server.xrange(key, start, count=_ENTRIES_TOGETHER):
        for _, fields in entries:
            # One entry is one place, however often it names the image.
            yield from dict.fromkeys(fields.values())
        start = f"({entries[-1][0]}"
