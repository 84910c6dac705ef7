"""`shoal discard`: forget a run that was held."""

from typing import Annotated

import typer

from worker.commands.asking import ask
from worker.options import with_settings
from worker.settings import Settings


@with_settings(only=("data_dir", "collection"))
def discard(
    settings: Settings,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the worker.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Forget a run that was held."""
    ask(settings, "discard", timeout, as_json)
