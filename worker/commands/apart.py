"""`shoal apart`: say that two images are not of one cluster."""

from worker.commands.asking import AsJson, Timeout
from worker.commands.saying import OMITTED, EitherId, say
from worker.options import with_settings
from worker.settings import Settings


@with_settings(*OMITTED)
def apart(
    settings: Settings,
    first: EitherId,
    second: EitherId,
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Say that two images are not of one cluster.

    The second leaves the cluster of the first, with what lies nearer to it.
    """
    say(settings, "apart", timeout, as_json, first, second)
