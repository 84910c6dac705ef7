"""`shoal recluster`: recluster a collection now, in the running worker or without one."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from worker.alone import Alone
from worker.commands.asking import AsJson, Timeout, alone, ask, tell
from worker.errors import FatalError, RetryError, SettingsError, StoreUnavailableError
from worker.lock import is_locked
from worker.options import with_settings
from worker.recluster.result import RunResult
from worker.settings import Settings


@with_settings("source", "files", "once", "http_host", "http_port")
def recluster(
    settings: Settings,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change; change nothing.")
    ] = False,
    timeout: Timeout = 3_600.0,
    as_json: AsJson = False,
) -> None:
    """Recluster a collection now.

    A worker that runs on the data directory is asked to do it; otherwise this process does it.
    """
    if is_locked(settings.data_dir):
        if dry_run:
            raise SettingsError("dry_run: a worker runs on this data directory; stop it first")
        ask(settings, "recluster", timeout, as_json)
        return
    here = alone(settings)
    if not dry_run:
        tell(settings.collection, here.recluster(settings.collection), as_json)
        return
    result = _preview(here, settings.collection)
    outcome = {
        "collection": settings.collection,
        "images": result.drift.images,
        "clusters": result.drift.clusters,
        "held": result.verdict.held,
        "reasons": list(result.verdict.reasons),
        "drift": asdict(result.drift),
        "seconds": dict(result.seconds),
    }
    print(json.dumps(outcome, indent=None if as_json else 2))


def _preview(here: Alone, collection: str) -> RunResult:
    """What a run would do; a run that fails would most likely fail again, so that is final."""
    try:
        return here.preview(collection)
    except StoreUnavailableError:
        raise
    except RetryError as error:
        raise FatalError(f"collection {collection!r}: {error}") from error
