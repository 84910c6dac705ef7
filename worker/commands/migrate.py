"""`shoal migrate`: move a collection to another embedding model while it serves."""

from typing import Annotated

import typer

from worker.commands.asking import AsJson, Timeout, alone, answered, tell
from worker.commands.saying import OMITTED
from worker.errors import SettingsError
from worker.lock import is_locked
from worker.message import MAX_DIMENSION, MIN_DIMENSION
from worker.options import with_settings
from worker.settings import Settings

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
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Move a collection to another embedding model; clusters keep ids, names and corrections.

    Records of the new model fill a second index while the first serves. When that has every image
    it is reclustered, and takes the first one's place by itself.
    """
    words = _words(model, dimension, finish=finish, force=force, cancel=cancel)
    if is_locked(settings.data_dir):
        answer = answered(settings, "migrate", timeout, *words)
    else:
        answer = alone(settings).migrate(settings.collection, words)
    tell(settings.collection, answer, as_json)


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
