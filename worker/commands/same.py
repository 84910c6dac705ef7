"""`shoal same`: say that two images are of one cluster."""

from worker.commands.asking import AsJson, Timeout
from worker.commands.saying import OMITTED, EitherId, say
from worker.options import with_settings
from worker.settings import Settings


@with_settings(*OMITTED)
def same(
    settings: Settings,
    first: EitherId,
    second: EitherId,
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Say that two images are of one cluster, which unites their clusters.

    The one with a name keeps its id, otherwise the larger one.
    """
    say(settings, "same", timeout, as_json, first, second)
