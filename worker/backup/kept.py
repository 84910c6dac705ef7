"""The backups that a target has, and which of its files may go."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from worker.backup import manifest
from worker.backup.manifest import BACKUPS, NAME_PATTERN, PIECES, SUFFIX, Manifest
from worker.backup.target import Target
from worker.errors import CorruptError, SettingsError


@dataclass(frozen=True, slots=True)
class Kept:
    """What is there: whole backups by name, oldest first; what is wrong with the others; the bytes
    of every piece; and the names of what is no manifest where those are.
    """

    whole: Mapping[str, Manifest]
    damaged: Mapping[str, str]
    pieces: Mapping[str, int]
    strays: tuple[str, ...] = ()

    def find(self, name: str | None) -> Manifest:
        """The backup of that name, or the newest whole one.

        Raises `CorruptError` for one that is damaged, `SettingsError` where there is none.
        """
        wanted = max(self.whole, default="") if name is None else name
        if wanted in self.damaged:
            raise CorruptError(self.damaged[wanted])
        if wanted not in self.whole:
            there = ", ".join(self.whole) or "none"
            raise SettingsError(f"backup: {wanted!r}: not there; whole ones: {there}")
        return self.whole[wanted]


def look(target: Target) -> Kept:
    """What is there now. Raises `OSError`."""
    pieces = target.sizes(PIECES)
    whole: dict[str, Manifest] = {}
    damaged: dict[str, str] = {}
    strays: list[str] = []
    for path in sorted(target.sizes(BACKUPS)):
        name = PurePosixPath(path).name.removesuffix(SUFFIX)
        if not re.fullmatch(NAME_PATTERN, name):
            strays.append(path)
            continue
        try:
            found = manifest.read(name, target.read(path))
        except FileNotFoundError:
            continue  # it goes just now
        except CorruptError as error:
            damaged[name] = str(error)
            continue
        missing = found.missing(pieces)
        if missing:
            damaged[name] = f"backup {name}: {len(missing)} pieces are missing or too short"
        else:
            whole[name] = found
    return Kept(whole, damaged, pieces, tuple(strays))


def doomed(kept: Kept, keep: int) -> tuple[list[str], list[str]]:
    """The manifests that go when the newest `keep` whole backups stay, and then the pieces that no
    manifest names; with them what was not written to its end.

    A damaged backup goes when it is older than all that stay.
    """
    staying = list(kept.whole)[-keep:]
    oldest = staying[0] if staying else ""
    manifests = [manifest.path_of(name) for name in (*kept.whole, *kept.damaged) if name < oldest]
    return [*manifests, *kept.strays], unnamed(kept.pieces, (kept.whole[name] for name in staying))


def unnamed(pieces: Iterable[str], backups: Iterable[Manifest]) -> list[str]:
    """The pieces that none of these backups has."""
    named = {piece.path for backup in backups for piece in backup.pieces()}
    return [path for path in pieces if path not in named]
