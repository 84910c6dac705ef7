"""What the commands share by which people say something of images and clusters."""

from typing import Annotated

import typer

from worker.commands.asking import alone, answered, tell
from worker.lock import is_locked
from worker.requests import Saying
from worker.settings import Settings

OMITTED = ("source", "files", "once", "http_host", "http_port")

EitherId = Annotated[
    str, typer.Argument(help="An image id, or a cluster id for its most typical image.")
]


def said(settings: Settings, saying: Saying, timeout_seconds: float, *words: str) -> str:
    """The answer of the worker of the data directory, or of one made for the purpose."""
    if is_locked(settings.data_dir):
        return answered(settings, saying, timeout_seconds, *words)
    return alone(settings).say(settings.collection, saying, words)


def say(
    settings: Settings, saying: Saying, timeout_seconds: float, as_json: bool, *words: str
) -> None:
    """Say it, and print the answer; exit 1 if it cannot be."""
    tell(settings.collection, said(settings, saying, timeout_seconds, *words), as_json)
