"""`shoal repair`: mend a damaged data directory, and say what is lost."""

import json as jsonlib
from typing import Any

import typer

from index.repair import Repaired
from worker.collections import index_settings
from worker.commands.verify import DATA_STATUS, SPARE_STATUS, AsJson, Name, Told
from worker.lock import DirectoryLock
from worker.options import with_settings
from worker.repair import RepairedDirectory
from worker.repair import repair as repair_directory
from worker.settings import Settings

_IDS_SHOWN = 20
_SETTINGS = (
    "data_dir",
    "neighbours",
    "hnsw_m",
    "hnsw_ef_construction",
    "hnsw_ef_search",
    "threads",
)


@with_settings(only=_SETTINGS)
def repair(settings: Settings, only: Name = None, json: AsJson = False) -> None:
    """Mend a data directory on which no worker runs, and say what was done and what is lost.

    Exit status 0: whole, nothing lost. 1: whole, but images must be sent, or records read, again.
    7: a collection cannot be repaired.
    """
    with DirectoryLock(settings.data_dir):
        repaired = repair_directory(settings.data_dir, index_settings(settings), only, Told())
    if json:
        print(as_json(repaired))
    else:
        print_repaired(repaired)
    if repaired.failed:
        raise typer.Exit(DATA_STATUS)
    if any(map(_lost, repaired.collections.values())):
        raise typer.Exit(SPARE_STATUS)


def as_json(repaired: RepairedDirectory) -> str:
    """One object on one line; every lost image is named."""
    collections: dict[str, Any] = {
        name: {
            "done": done.done,
            "send_again": done.lost_images,
            "lost_without_id": done.nameless,
            "records_left": done.tables,
            "read_again_from": done.reread,
            "read_others_again": done.reread_others,
        }
        for name, done in repaired.collections.items()
    }
    return jsonlib.dumps(
        {"collections": collections, "directory": repaired.directory, "failed": repaired.failed}
    )


def print_repaired(repaired: RepairedDirectory) -> None:
    """What was done, and what people have to do."""
    for name, done in repaired.collections.items():
        print(f"{name}: {f'{len(done.done)} repairs' if done.done else 'whole'}")
        for line in done.done:
            print(f"  {line}")
        for line in _losses(done):
            print(f"  LOST: {line}")
    for line in repaired.directory:
        print(line)
    for name, why in repaired.failed.items():
        print(f"{name}: NOT REPAIRED: {why}")


def _lost(done: Repaired) -> bool:
    return bool(done.lost_images or done.nameless or done.tables or done.reread is not None)


def _losses(done: Repaired) -> list[str]:
    lines = []
    if done.lost_images:
        shown = ", ".join(done.lost_images[:_IDS_SHOWN])
        more = len(done.lost_images) - _IDS_SHOWN
        lines.append(
            f"{len(done.lost_images)} images must be sent again: {shown}"
            + (f" and {more} more (--json names them all)" if more > 0 else "")
        )
    if done.nameless:
        lines.append(f"{done.nameless} images, at least, whose ids are not known any more")
    for table, left in done.tables.items():
        lines.append(f"records of the table {table}: {left} are left")
    if done.reread is not None:
        places = [f"{p} from offset {o}" for p, o in sorted(done.reread.items())]
        places += ["all other partitions from their start"] if done.reread_others else []
        lines.append(
            f"records must be read again: {', '.join(places)}; the next start does it, as far"
            " as the topic still has them"
        )
    return lines
