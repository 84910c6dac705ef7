"""`shoal truth`: say what some images are of, so that every run is scored against it."""

from pathlib import Path
from typing import Annotated

import typer

from worker.commands.asking import AsJson, Timeout
from worker.commands.saying import OMITTED, say
from worker.errors import SettingsError
from worker.labels_file import read_labels
from worker.options import with_settings
from worker.settings import Settings


@with_settings(*OMITTED)
def truth(
    settings: Settings,
    file: Annotated[
        Path | None,
        typer.Argument(help="csv of id,label or npz with ids and labels.", show_default=False),
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Forget the sample.")] = False,
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Give a labelled sample of the collection, in the place of the one before.

    Pairwise and BCubed F of every run against it are metrics from then on.
    """
    if (file is None) != forget:
        raise SettingsError("truth: give a file, or --forget")
    labels = read_labels(file) if file is not None else {}
    words = (word for pair in labels.items() for word in pair)
    say(settings, "truth", timeout, as_json, *words)
