"""`shoal repair`: mend a damaged data directory, and say what is lost."""

import json as jsonlib
import sys
from typing import Any

import typer

from index.repaired import Repaired
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

    def tell(repaired: RepairedDirectory) -> None:
        if json:
            print(as_json(repaired))
        else:
            print_repaired(repaired)
        sys.stdout.flush()

    with DirectoryLock(settings.data_dir):
        repaired = repair_directory(settings.data_dir, index_settings(settings), only, Told(), tell)
    if repaired.failed:
        raise typer.Exit(DATA_STATUS)
    if any(map(_losses, repaired.collections.values())):
        raise typer.Exit(SPARE_STATUS)


def as_json(repaired: RepairedDirectory) -> str:
    """One object on one line; every lost image is named."""
    collections: dict[str, Any] = {
        name: {
            "done": done.done,
            "send_again": done.lost_images,
            "perhaps_erased": done.perhaps_erased,
            "lost_without_id": done.nameless,
            "records_left": done.tables,
            "lost_commits": done.lost_commits,
            "read_again_from": done.reread,
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


def _losses(done: Repaired) -> list[str]:
    lines = []
    if done.lost_images:
        lines.append(
            f"{len(done.lost_images)} images must be sent again: {_shown(done.lost_images)}"
        )
    if done.perhaps_erased:
        lines.append(
            f"{len(done.perhaps_erased)} images were erased or replaced by a commit that is lost,"
            " unless the disk lost their vectors; send again those that you miss:"
            f" {_shown(done.perhaps_erased)}"
        )
    if done.nameless:
        lines.append(f"{done.nameless} images, at least, whose ids are not known any more")
    for table, left in done.tables.items():
        lines.append(f"records of the table {table}: {left} are left")
    if done.lost_commits:
        lines.append(
            "what people said in the commits that are lost: erasures by `shoal erase`, names,"
            " corrections, answers, the truth sample; say it again, and erase again"
        )
    if done.reread is not None:
        places = [f"{p} from offset {o}" for p, o in sorted(done.reread.items())]
        places.append("all other partitions from their start")
        lines.append(
            f"records must be read again: {', '.join(places)}; the next start does it, as far"
            " as the topic still has them"
        )
    return lines


def _shown(ids: list[str]) -> str:
    more = len(ids) - _IDS_SHOWN
    return ", ".join(ids[:_IDS_SHOWN]) + (
        f" and {more} more (--json names them all)" if more > 0 else ""
    )
