"""`shoal send`: produce the rows of files to Kafka."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from worker.decode import Decoder, DecodeSettings
from worker.errors import RejectedError, SettingsError
from worker.message import check_collection
from worker.records import Upsert
from worker.sending import Format, Sender
from worker.sources.base import Source

_ROWS_AT_A_TIME = 500
_ROWS_A_TICK = 50
_REFUSALS_SHOWN = 5
_NO_LIMIT = sys.maxsize  # the worker decides what is too large


def send(
    files: Annotated[
        list[Path], typer.Argument(help="Files of embeddings: npz, npy, jsonl, parquet.")
    ],
    topic: Annotated[
        str | None,
        typer.Option(
            "--topic",
            "--kafka-topic",
            help="An existing topic. [SHOAL_KAFKA_TOPIC]",
            metavar="TOPIC",
        ),
    ] = None,
    bootstrap: Annotated[
        str | None,
        typer.Option(
            "--bootstrap",
            "--kafka-bootstrap",
            help="Brokers, host:port, by commas. [SHOAL_KAFKA_BOOTSTRAP]",
            metavar="HOST:PORT",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", envvar="SHOAL_CONFIG", help="TOML file of settings.", metavar="FILE"
        ),
    ] = None,
    collection: Annotated[
        str | None, typer.Option(help="Collection of rows that name none.")
    ] = None,
    format: Annotated[  # noqa: A002  the name of the option
        Format, typer.Option(help="How the embeddings travel.")
    ] = Format.JSON,
    model: Annotated[
        str | None, typer.Option(help="Embedding model of rows that name none.")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Records a second at most.")] = None,
) -> None:
    """Send the rows of files to a Kafka topic; ids are those of the files."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from worker.kafka_security import kafka_security
    from worker.settings import load
    from worker.sources.file_source import FileSource

    settings = load({"kafka_topic": topic, "kafka_bootstrap": bootstrap}, config)
    if "kafka_topic" not in settings.model_fields_set:
        raise SettingsError("kafka_topic: say where to send to, with --topic or otherwise")
    if collection is not None:
        check_collection(collection)
    source = FileSource(files)
    source.open({})
    security = kafka_security(settings)
    sender = Sender(settings.kafka_bootstrap, settings.kafka_topic, format, security)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    started = time.monotonic()
    with closing(source), closing(sender), Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=sum(source.lag().values()))
        rows = _rows(source, Decoder(DecodeSettings(collection or "", _NO_LIMIT)), model)
        sent, refusals = 0, []
        for count, row in enumerate(rows if rate is None else _paced(rows, rate), 1):
            if isinstance(row, str):
                refusals.append(row)
            else:
                sender.send(row)
                sent += 1
            if count % _ROWS_A_TICK == 0:
                bar.update(task, completed=count)
        sender.flush()
        bar.update(task, completed=sent + len(refusals))
    _report(sent, time.monotonic() - started, settings.kafka_topic, refusals)


def _rows(source: Source, decoder: Decoder, model: str | None) -> Iterator[Upsert | str]:
    """The images of the files; for a row that holds none, why."""
    while not source.exhausted:
        for raw in source.poll(_ROWS_AT_A_TIME, 0.0):
            try:
                record = decoder.decode(raw)
            except RejectedError as error:
                yield f"{raw.partition}, row {raw.offset}: {error}"
            else:
                if isinstance(record, Upsert):
                    yield record if record.model else replace(record, model=model)


def _paced(rows: Iterator[Upsert | str], rate: float) -> Iterator[Upsert | str]:
    """`rows`, no more than `rate` a second."""
    started = time.monotonic()
    for count, row in enumerate(rows):
        time.sleep(max(0.0, started + count / rate - time.monotonic()))
        yield row


def _report(sent: int, seconds: float, topic: str, refusals: list[str]) -> None:
    print(f"sent {sent:,} records to {topic} in {seconds:.1f} s ({sent / seconds:,.0f} a second)")
    for refusal in refusals[:_REFUSALS_SHOWN]:
        print(f"not sent: {refusal}", file=sys.stderr)
    if refusals:
        print(f"not sent: {len(refusals):,} rows in all", file=sys.stderr)
        raise typer.Exit(1)
