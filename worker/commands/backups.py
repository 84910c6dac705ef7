"""`shoal backups`: what a backup URL has."""

from typing import Annotated

import typer

from worker.backup.kept import Kept, look
from worker.backup.take import worker_target
from worker.commands.asking import AsJson
from worker.commands.reading import print_object, print_table, utc
from worker.masked import masked

Url = Annotated[str, typer.Argument(help="SHOAL_BACKUP_URL of the worker.", metavar="URL")]
FromWorker = Annotated[
    int,
    typer.Option(
        "--from-worker",
        help="The worker's number. [SHOAL_WORKER_ORDINAL]",
        envvar="SHOAL_WORKER_ORDINAL",
        min=0,
    ),
]

_COLUMNS = ["backup", "begun", "collections", "images", "bytes", "whole"]


def backups(url: Url, from_worker: FromWorker = 0, as_json: AsJson = False) -> None:
    """Print the backups of a worker, oldest first, and whether all of each is there."""
    rows = _rows(look(worker_target(url, from_worker)))
    if as_json:
        print_object({"backups": [dict(zip(_COLUMNS, row, strict=True)) for row in rows]})
        return
    shown = [(row[0], utc(row[1]) if isinstance(row[1], float) else None, *row[2:]) for row in rows]
    print_table(f"{masked(url)}: worker {from_worker}", _COLUMNS, shown)


def _rows(kept: Kept) -> list[tuple[object, ...]]:
    """A row for each, by name."""
    rows: list[tuple[object, ...]] = [
        (
            name,
            found.begun,
            len(found.images),
            sum(found.images.values()),
            sum(piece.size for piece in found.pieces()),
            "yes",
        )
        for name, found in kept.whole.items()
    ]
    rows += [(name, None, None, None, None, why) for name, why in kept.damaged.items()]
    return sorted(rows, key=lambda row: str(row[0]))
