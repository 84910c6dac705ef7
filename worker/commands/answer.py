"""`shoal answer`: answer one question of `shoal ask`."""

from typing import Annotated

import typer

from worker.commands.asking import AsJson, Timeout
from worker.commands.saying import OMITTED, say
from worker.options import with_settings
from worker.settings import Settings

ImageId = Annotated[str, typer.Argument(help="An image of the question.")]


@with_settings(*OMITTED)
def answer(
    settings: Settings,
    image: ImageId,
    other: ImageId,
    same: Annotated[str, typer.Argument(help="Whether they are of one group.", metavar="yes|no")],
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Answer one question of shoal ask, in the place of an earlier answer."""
    say(settings, "answer", timeout, as_json, image, other, same)
