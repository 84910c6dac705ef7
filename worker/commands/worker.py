"""`shoal worker`: the process that ingests, reclusters and publishes."""

import os
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import structlog
import typer

from worker import __version__, garbage, last_words, logs
from worker.compose import make_worker
from worker.connections import make_dead_letters, make_source, make_store
from worker.file_limit import check_open_collections, raise_file_limit
from worker.http import HttpServer
from worker.metrics import Metrics
from worker.options import with_settings
from worker.settings import Settings, unknown_variables
from worker.tracing import make_tracing

log = structlog.get_logger()


@with_settings()
def worker(
    settings: Settings,
    port_file: Annotated[
        Path | None, typer.Option(help="File to write the address of metrics and health to.")
    ] = None,
) -> None:
    """Read embeddings, keep them clustered, publish to Redis, until SIGTERM."""
    logs.configure(settings.log_format, settings.log_level)
    if settings.log_format == "json":
        last_words.go_to_log()
    for name in unknown_variables(os.environ):
        log.warning("no setting has this name", variable=name)
    check_open_collections(settings.open_collections, raise_file_limit())
    metrics = Metrics({settings.collection, *settings.metrics_collections})
    metrics.build.info({"version": __version__})
    tracing = make_tracing()
    store = make_store(settings)
    source, dead_letters = make_source(settings), make_dead_letters(settings)
    running = make_worker(settings, source, dead_letters, store, metrics, tracing=tracing)

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        log.info("stopping", signal=signal.Signals(number).name)
        running.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server = HttpServer(
        settings.http_host,
        settings.http_port,
        metrics.registry,
        running.healthy,
        running.ready,
        running.role,
    )
    log.info("metrics and health", address=server.address)
    if port_file is not None:
        port_file.write_text(server.address)
    garbage.look_seldom()
    try:
        running.run()
    finally:
        server.close()
        dead_letters.close()
        store.close()
        tracing.close()
