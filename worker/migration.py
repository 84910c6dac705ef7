"""A collection's migration to another embedding model: its record, and where its index lies.

The second index is a collection of its own in a folder beside the first one's, whose name no
collection can have; nothing of it is published. (A compaction writes one of the same model, and
switches as well: `worker.compaction`.) When it takes the first one's place the folders
change names, the first one's by way of a name that says so: a process that dies in between is
followed by one that ends it.

M1 begin: the model stands in the first one's catalog
M2 the second index is made, with the first image of the new model
M3 carry: clusters, names, corrections and the cluster of each shared image go into it
M4 a run over it, R1 to R5, once it has every image
M5 carry once more, for what changed meanwhile, and R6: its catalog is what the collection will be
M6 the first one's folder gets another name
M7 the second one's folder gets the first one's name: from here it serves
M8 the first one's folder goes; R8 publishes what changed
"""

import json
import shutil
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path

from index import reach_fault, sync_folder

SECOND = ".second-"
FORMER = ".former-"

_KEY = "migration"


@dataclass(frozen=True, slots=True)
class Migration:
    """To `model`, whose images have `dimension` numbers (None: as the first of them has).

    `forced`: a person wants the switch whatever is missing or moved. `held` says why the gate held
    the last run over the second index; empty where it did not.
    """

    model: str
    dimension: int | None = None
    forced: bool = False
    held: str = ""


def read_migration(connection: sqlite3.Connection) -> Migration | None:
    """The migration that is under way, None for none."""
    found = connection.execute("SELECT value FROM state WHERE key = ?", (_KEY,)).fetchone()
    return Migration(**json.loads(found[0])) if found else None


def write_migration(connection: sqlite3.Connection, migration: Migration | None) -> None:
    """Keep it, or end it, within the caller's transaction."""
    connection.execute("DELETE FROM state WHERE key = ?", (_KEY,))
    if migration is not None:
        values = (_KEY, json.dumps(asdict(migration)))
        connection.execute("INSERT INTO state VALUES (?, ?)", values)


def second_of(name: str) -> str:
    """The name of the second index of the collection `name`."""
    return SECOND + name


def first_of(name: str) -> str:
    """The collection that `name`, its own or that of its second index, stands for."""
    return name.removeprefix(SECOND)


def is_second(name: str) -> bool:
    """Whether `name` is that of a second index."""
    return name.startswith(SECOND)


def switch(folder: Path, name: str) -> None:
    """M6 to M8 in `folder`, where the collections are; both must be closed. Raises `OSError`."""
    (folder / name).rename(folder / f"{FORMER}{name}")
    sync_folder(folder)
    reach_fault("M6")
    end_switch(folder, name)


def end_switch(folder: Path, name: str) -> None:
    """What is left of M7 and M8, if a switch was begun. Raises `OSError`."""
    former, second, place = (folder / n for n in (f"{FORMER}{name}", second_of(name), name))
    if not former.is_dir():
        return
    if not place.is_dir():
        second.rename(place)
        sync_folder(folder)
    reach_fault("M7")
    shutil.rmtree(former)
    reach_fault("M8")


def end_switches(folder: Path) -> None:
    """As `end_switch`, of every collection. Raises `OSError`."""
    for name in switches(folder):
        end_switch(folder, name)


def switches(folder: Path) -> list[str]:
    """The collections of which a switch was begun."""
    return sorted(path.name.removeprefix(FORMER) for path in folder.glob(f"{FORMER}*"))
