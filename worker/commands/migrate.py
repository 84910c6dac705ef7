"""`shoal migrate`: move a collection to another embedding model while it serves."""

from pathlib import Path
from typing import Annotated

import typer

from worker.commands.asking import NO_ANSWER, AsJson, Timeout, alone, answered, tell
from worker.commands.saying import OMITTED
from worker.errors import SettingsError
from worker.lock import is_locked
from worker.message import MAX_DIMENSION, MIN_DIMENSION
from worker.options import with_settings
from worker.requests import Mailbox
from worker.settings import Settings
from worker.verify import stored

_MAX_MODEL_CHARACTERS = 256


@with_settings(*OMITTED)
def migrate(
    settings: Settings,
    model: Annotated[
        str | None, typer.Option(help="Begin a migration to this model.", metavar="NAME")
    ] = None,
    dimension: Annotated[
        int | None,
        typer.Option(
            help="How long its vectors are; default: as the first that comes.",
            min=MIN_DIMENSION,
            max=MAX_DIMENSION,
        ),
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="Switch now, if every image has been sent.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="With --finish: whatever is missing, or moves to other clusters."
        ),
    ] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Forget the new index.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Every collection of the running worker.")
    ] = False,
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Move a collection to another embedding model; clusters keep ids, names and corrections.

    Records of the new model fill a second index while the first serves. When that has every image
    it is reclustered, and takes the first one's place by itself.
    """
    words = _words(model, dimension, finish=finish, force=force, cancel=cancel)
    running = is_locked(settings.data_dir)
    if every and not running:
        raise SettingsError(f"all: {settings.data_dir}: no worker runs on it, and --all asks one")
    if every:
        _ask_all(settings.data_dir, words, timeout, as_json)
    elif running:
        tell(settings.collection, answered(settings, "migrate", timeout, *words), as_json)
    else:
        tell(settings.collection, alone(settings).migrate(settings.collection, words), as_json)


def _ask_all(data_dir: Path, words: list[str], timeout_seconds: float, as_json: bool) -> None:
    """Ask of every collection, and print each answer; exit 1 if one of them failed."""
    mailbox = Mailbox(data_dir)
    asked = {name: mailbox.send("migrate", name, *words) for name in stored(data_dir, None)}
    failed = False
    for name, id_ in asked.items():
        answer = mailbox.wait(id_, timeout_seconds)
        try:
            tell(name, answer or NO_ANSWER.format(timeout_seconds), as_json)
        except typer.Exit:
            failed = True
    if failed:
        raise typer.Exit(1)


def _words(
    model: str | None, dimension: int | None, *, finish: bool, force: bool, cancel: bool
) -> list[str]:
    """The request. Raises `SettingsError` where the options do not go together."""
    if (model is not None) + finish + cancel != 1:
        raise SettingsError("migrate: give one of --model NAME, --finish and --cancel")
    if force and not finish:
        raise SettingsError("force: goes with --finish alone")
    if dimension is not None and model is None:
        raise SettingsError("dimension: goes with --model alone")
    if model is None:
        return ["cancel"] if cancel else ["finish", *(["force"] if force else [])]
    if not 1 <= len(model) <= _MAX_MODEL_CHARACTERS:
        raise SettingsError(f"model: {model!r}: must have 1 to {_MAX_MODEL_CHARACTERS} characters")
    return ["to", model, "" if dimension is None else str(dimension)]
