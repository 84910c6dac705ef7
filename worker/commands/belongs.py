"""`shoal belongs`: say which cluster an image belongs to."""

from typing import Annotated

import typer

from worker.commands.asking import AsJson, Timeout
from worker.commands.saying import OMITTED, say
from worker.options import with_settings
from worker.settings import Settings


@with_settings(*OMITTED)
def belongs(
    settings: Settings,
    image: Annotated[str, typer.Argument(help="The image's id.")],
    cluster: Annotated[str, typer.Argument(help="The cluster's id.")],
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Say which cluster an image belongs to."""
    say(settings, "belongs", timeout, as_json, image, cluster)
