"""`shoal name`: give a cluster a name that outlives every run."""

from typing import Annotated

import typer

from worker.commands.asking import AsJson, Timeout
from worker.commands.saying import OMITTED, say
from worker.options import with_settings
from worker.settings import Settings


@with_settings(*OMITTED)
def name(
    settings: Settings,
    cluster: Annotated[str, typer.Argument(help="The cluster's id.")],
    name_: Annotated[str, typer.Argument(metavar="NAME", help="The name, at most 200 characters.")],
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Give a cluster a name; an empty one takes the name away.

    A cluster with a name keeps its id, whatever a run finds.
    """
    say(settings, "name", timeout, as_json, cluster, name_)
