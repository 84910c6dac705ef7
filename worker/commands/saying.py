"""What the commands share by which people say something of images and clusters."""

from typing import Annotated

import typer

from worker import logs
from worker.commands.asking import answered, tell
from worker.compose import make_store, make_worker
from worker.dead_letters.no_letters import NoDeadLetters
from worker.lock import is_locked
from worker.metrics import Metrics
from worker.requests import Saying
from worker.settings import Settings
from worker.sources.no_source import NoSource

OMITTED = ("source", "files", "once", "http_host", "http_port")

Timeout = Annotated[float, typer.Option(help="Seconds to wait for the worker.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def said(settings: Settings, saying: Saying, timeout_seconds: float, *words: str) -> str:
    """The answer of the worker of the data directory, or of one made for the purpose."""
    if is_locked(settings.data_dir):
        return answered(settings, saying, timeout_seconds, *words)
    logs.configure(settings.log_format, "warning")
    alone = make_worker(settings, NoSource(), NoDeadLetters(), make_store(settings), Metrics())
    return alone.say(settings.collection, saying, words)


def say(
    settings: Settings, saying: Saying, timeout_seconds: float, as_json: bool, *words: str
) -> None:
    """Say it, and print the answer; exit 1 if it cannot be."""
    tell(settings.collection, said(settings, saying, timeout_seconds, *words), as_json)
