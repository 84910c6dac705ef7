"""`shoal uncorrect`: take back what was said."""

from typing import Annotated

import typer

from worker.commands.asking import AsJson, Timeout
from worker.commands.saying import OMITTED, say
from worker.options import with_settings
from worker.settings import Settings


@with_settings(*OMITTED)
def uncorrect(
    settings: Settings,
    number: Annotated[
        str, typer.Argument(help="The number of the correction, see shoal corrections.")
    ],
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Take a correction back; the next run decides anew."""
    say(settings, "uncorrect", timeout, as_json, number)
