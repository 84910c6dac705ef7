"""`shoal discard`: forget a run that was held."""

from worker.commands.asking import AsJson, Timeout, ask
from worker.options import with_settings
from worker.settings import Settings


@with_settings(only=("data_dir", "collection"))
def discard(
    settings: Settings,
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Forget a run that was held."""
    ask(settings, "discard", timeout, as_json)
