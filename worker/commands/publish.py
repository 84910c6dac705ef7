"""`shoal publish`: publish a run that was held."""

from worker.commands.asking import AsJson, Timeout, ask
from worker.options import with_settings
from worker.settings import Settings


@with_settings(only=("data_dir", "collection"))
def publish(
    settings: Settings,
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Publish a run that was held."""
    ask(settings, "publish", timeout, as_json)
