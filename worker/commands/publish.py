"""`shoal publish`: publish a run that was held."""

from typing import Annotated

import typer

from worker.commands.asking import ask
from worker.options import with_settings
from worker.settings import Settings


@with_settings(only=("data_dir", "collection"))
def publish(
    settings: Settings,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the worker.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Publish a run that was held."""
    ask(settings, "publish", timeout, as_json)
