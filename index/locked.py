"""Reading files that SQLite has open in this process, without giving up its locks.

A process that closes any descriptor of a file gives up every POSIX lock that it has on the file
(https://sqlite.org/howtocorrupt.html, section 2.2). Another process that reads then takes itself
for the first one, and begins the index of the log anew while this one writes to it. So what is
opened of a database that is held stays open until nobody holds it any more; nor may it be mapped,
since Python's `mmap` closes a descriptor of its own.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class _Held:
    holders: int = 0
    open: dict[str, int] = field(default_factory=dict)


_held: dict[str, _Held] = {}


def hold(database: Path) -> None:
    """There is a connection to `database` now."""
    _held.setdefault(os.path.abspath(database), _Held()).holders += 1  # noqa: PTH100  not resolved


def let_go(database: Path) -> None:
    """A connection that `hold` was told of is closed."""
    name = os.path.abspath(database)  # noqa: PTH100  as above
    held = _held[name]
    held.holders -= 1
    if not held.holders:
        del _held[name]
        for descriptor in held.open.values():
            os.close(descriptor)


@contextmanager
def reading(database: Path, path: Path) -> Iterator[int]:
    """A descriptor of `path`, a file of `database`, to read from by `os.pread`. Raises OSError."""
    held = _held.get(os.path.abspath(database))  # noqa: PTH100  as above
    if held is not None:
        yield _kept(held, path)
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _kept(held: _Held, path: Path) -> int:
    old = held.open.get(path.name)
    if old is not None and os.path.samestat(os.fstat(old), path.stat()):
        return old
    held.open[path.name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if old is not None:  # of a file that is no more
        os.close(old)
    return held.open[path.name]
