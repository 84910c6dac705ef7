"""What `recording_disk.c` wrote down, and the folder as it would be after a part of it.

A file is what was synced and what was written to it since; so is a folder with its names. A process
that is killed leaves all of it. A power loss leaves what was synced, and any part of the rest.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

_ENTRY = struct.Struct("<IIIIQQ")

# What a disk writes whole or not at all.
SECTOR = 512


@dataclass(frozen=True)
class Call:
    """One call; `path` and `other` are within the folder, empty for the folder itself."""

    kind: str
    path: str
    other: str = ""
    at: int = 0
    size: int = 0
    data: bytes = b""


def read(record, folder):
    """All calls, in their order."""
    content, place, calls = Path(record).read_bytes(), 0, []

    def text(size):
        nonlocal place
        place += size
        return content[place - size : place].decode().removeprefix(str(folder)).lstrip("/")

    while place < len(content):
        kind, path_size, other_size, _, at, size = _ENTRY.unpack_from(content, place)
        place += _ENTRY.size
        path, other = text(path_size), text(other_size)
        data = content[place : place + size] if chr(kind) == "W" else b""
        place += len(data)
        calls.append(Call(chr(kind), path, other, at, size, data))
    return calls


@dataclass(eq=False)
class File:
    """`synced` content, and the calls since."""

    synced: bytearray = field(default_factory=bytearray)
    since: list[Call] = field(default_factory=list)

    def sync(self):
        """What was written is on the disk."""
        for call in self.since:
            apply(self.synced, call)
        self.since.clear()


@dataclass(eq=False)
class Folder:
    """The names that are there, those that were `synced`, and what changed since."""

    names: dict[str, "File | Folder"] = field(default_factory=dict)
    synced: dict[str, "File | Folder"] = field(default_factory=dict)
    since: list[Callable] = field(default_factory=list)

    def change(self, change):
        """Change the names."""
        change(self.names)
        self.since.append(change)

    def sync(self):
        """The names are on the disk."""
        self.synced = dict(self.names)
        self.since.clear()


def apply(content, call):
    """Do a call to the content of a file."""
    if call.kind == "T":
        del content[call.at :]
        content += bytes(call.at - len(content))
    elif call.kind == "P":
        stop = min(call.at + call.size, len(content))
        content[call.at : stop] = bytes(max(0, stop - call.at))
    else:
        content += bytes(max(0, call.at - len(content)))
        content[call.at : call.at + len(call.data)] = call.data


class Disk:
    """A folder after some calls."""

    def __init__(self):
        self.root = Folder()

    def find(self, path):
        """The file or folder at a path, or None."""
        node = self.root
        for name in filter(None, path.split("/")):
            node = node.names.get(name) if isinstance(node, Folder) else None
        return node

    def do(self, call):
        """One call."""
        parent, _, name = call.path.rpartition("/")
        folder = self.find(parent)
        if call.kind in "CM":
            node = File() if call.kind == "C" else Folder()
            folder.change(lambda names: names.__setitem__(name, node))
        elif call.kind in "UD":
            folder.change(lambda names: names.pop(name, None))
        elif call.kind == "R":
            there, _, other = call.other.rpartition("/")
            assert parent == there, call
            node = folder.names[name]

            def move(names):
                if names.get(name) is node:
                    del names[name]
                names[other] = node

            folder.change(move)
        elif (node := self.find(call.path)) is not None:  # else it was unlinked, and is still open
            if call.kind == "S":
                node.sync()
            else:
                node.since.append(call)

    def leave(self, path, kept, skip):
        """Write to `path` what a crash leaves, but for names that are to be left out (`skip`).

        `kept` says which of the changes since a sync are there: from a list, one of the same, or of
        torn ones.
        """
        self._leave(self.root, Path(path), kept, skip)

    def _leave(self, node, path, kept, skip):
        if isinstance(node, File):
            content = bytearray(node.synced)
            for call in kept(node.since):
                apply(content, call)
            path.write_bytes(content)
            return
        path.mkdir()
        names = dict(node.synced)
        for change in kept(node.since):
            change(names)
        for name, below in names.items():
            if not skip(name):
                self._leave(below, path / name, kept, skip)


def torn(call, random_):
    """A part of a write from its start: to the end of a sector."""
    first = call.at // SECTOR + 1
    last = (call.at + len(call.data) - 1) // SECTOR
    if call.kind != "W" or first > last:
        return None
    size = random_.randint(first, last) * SECTOR - call.at
    return replace(call, size=size, data=call.data[:size])
