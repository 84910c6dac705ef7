"""`shoal recluster`: recluster a collection now, in the running worker or without one."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from worker import logs
from worker.commands.asking import ask, tell
from worker.compose import make_store, make_worker
from worker.dead_letters.no_letters import NoDeadLetters
from worker.errors import FatalError, RetryError, SettingsError, StoreUnavailableError
from worker.lock import is_locked
from worker.metrics import Metrics
from worker.options import with_settings
from worker.recluster.result import RunResult
from worker.service import Worker
from worker.settings import Settings
from worker.sources.no_source import NoSource


@with_settings("source", "files", "once", "http_host", "http_port")
def recluster(
    settings: Settings,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change; change nothing.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the worker.")] = 3_600.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Recluster a collection now.

    A worker that runs on the data directory is asked to do it; otherwise this process does it.
    """
    if is_locked(settings.data_dir):
        if dry_run:
            raise SettingsError("dry_run: a worker runs on this data directory; stop it first")
        ask(settings, "recluster", timeout, as_json)
        return
    logs.configure(settings.log_format, "warning")
    alone = make_worker(settings, NoSource(), NoDeadLetters(), make_store(settings), Metrics())
    if not dry_run:
        tell(settings.collection, alone.recluster(settings.collection), as_json)
        return
    result = _preview(alone, settings.collection)
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


def _preview(alone: Worker, collection: str) -> RunResult:
    """What a run would do; a run that fails would most likely fail again, so that is final."""
    try:
        return alone.preview(collection)
    except StoreUnavailableError:
        raise
    except RetryError as error:
        raise FatalError(f"collection {collection!r}: {error}") from error
