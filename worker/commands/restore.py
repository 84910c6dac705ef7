"""`shoal restore`: bring a backup back into a data directory."""

from typing import Annotated

import typer

from worker.backup.kept import look
from worker.backup.restore import Restored, restore_collection
from worker.backup.restore import restore as restore_all
from worker.backup.take import worker_target
from worker.commands.asking import AsJson
from worker.commands.backups import FromWorker, Url
from worker.commands.reading import print_object
from worker.options import with_settings
from worker.settings import Settings


@with_settings(only=("data_dir",))
def restore(
    settings: Settings,
    url: Url,
    at: Annotated[
        str | None,
        typer.Option(
            help="The backup, as `shoal backups` names it; default: the newest whole one."
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option("--collection", help="Only this one, beside others.", metavar="NAME"),
    ] = None,
    from_worker: FromWorker = 0,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty data directory, or one collection into any that lacks it.

    Every byte is verified. No worker may run on the data directory.
    """
    target = worker_target(url, from_worker)
    backup = look(target).find(at)
    if only is None:
        restored = restore_all(target, backup, settings.data_dir)
    else:
        restored = restore_collection(target, backup, only, settings.data_dir)
    print_restored(restored, settings, as_json)


def print_restored(restored: Restored, settings: Settings, as_json: bool) -> None:
    """What came back, and what the next start does."""
    if as_json:
        print_object(
            {
                "backup": restored.backup,
                "collections": restored.collections,
                "read_on_from": restored.positions,
            }
        )
        return
    for name, images in restored.collections.items():
        print(f"{name}: {images} images, as of {restored.backup}, in {settings.data_dir}")
    for partition, offset in sorted(restored.positions.items()):
        print(f"the next start reads {partition} on from offset {offset}")
    print("if the topic does not reach back so far, the start says what is missing (status 5)")
    print("images erased by `shoal erase` since are back: erase them again")
