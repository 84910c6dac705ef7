"""`shoal move`: a collection from one data directory to another."""

from pathlib import Path
from typing import Annotated

import typer

from worker.backup.move import move as move_collection
from worker.commands.asking import AsJson
from worker.commands.reading import print_object
from worker.options import with_settings
from worker.settings import Settings


@with_settings(only=("data_dir",))
def move(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="The collection.", metavar="COLLECTION")],
    to: Annotated[
        Path, typer.Option(help="The data directory that it moves to.", metavar="DATA_DIR")
    ],
    as_json: AsJson = False,
) -> None:
    """Move a collection to another worker's data directory; no worker may run on either.

    Producers must send it to a partition of that worker.
    """
    moved = move_collection(name, settings.data_dir, to)
    if as_json:
        print_object({"collection": name, "to": str(to), "read_on_from": dict(moved.positions)})
        return
    print(f"{name}: {moved.collections[name]} images moved from {settings.data_dir} to {to}")
