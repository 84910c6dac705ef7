"""Puts a worker together from its settings."""

import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.clock import Clock, SystemClock
from worker.collections import Collections
from worker.dead_letters.base import DeadLetters
from worker.dead_letters.limits import DeadLetterLimits, LimitSettings
from worker.decode import Decoder, DecodeSettings, FieldNames
from worker.edges import Edges, ModelEdges
from worker.errors import SettingsError
from worker.ingest import Ingest
from worker.lock import DirectoryLock
from worker.metrics import Metrics
from worker.positions import Positions
from worker.publish import Publisher
from worker.recluster.supervisor import Runner, Supervisor
from worker.reclustering import Reclustering
from worker.service import Worker
from worker.settings import Settings
from worker.sources.base import Source
from worker.store.base import Store

# The worker tries again for ever, and between two attempts looks whether it shall stop.
_CONNECT_SECONDS = 10.0


def holder(data_dir: Path) -> str:
    """The name under which the worker of a locked data directory holds leases.

    Host, folder, and a random part that is kept in the folder: a worker that was killed takes its
    own leases again at once, and nobody else's.
    """
    file = data_dir / "holder"
    kept = file.read_text().strip() if file.exists() else ""
    if not kept:
        kept = uuid.uuid4().hex[:8]
        file.write_text(f"{kept}\n")
    return f"{socket.gethostname()}:{data_dir.resolve()}#{kept}"


def make_worker(
    settings: Settings,
    source: Source,
    dead_letters: DeadLetters,
    store: Store,
    metrics: Metrics,
    clock: Clock | None = None,
    edges: Edges | None = None,
    supervisor: Runner | None = None,
) -> Worker:
    """A worker over these parts; it takes the lock of the data directory.

    `edges` and `supervisor` are the model's by default. Raises `DataDirectoryError`.
    """
    clock = clock or SystemClock()
    lock = DirectoryLock(settings.data_dir)
    publisher = Publisher(store, holder(settings.data_dir), clock, metrics)
    make_edges = _model_edges(settings) if edges is None else lambda: edges
    collections = Collections(settings, publisher, make_edges, metrics, clock)
    positions = Positions(settings.data_dir / "positions.sqlite")
    ingest = Ingest(
        source,
        Decoder(_decode_settings(settings)),
        dead_letters,
        DeadLetterLimits(
            LimitSettings(max_ratio=settings.bad_ratio, max_consecutive=settings.bad_consecutive)
        ),
        collections,
        publisher,
        positions,
        metrics,
        clock,
        settings.batch_records,
    )
    reclustering = Reclustering(
        settings,
        collections,
        supervisor or Supervisor(settings.recluster_timeout_seconds),
        metrics,
        clock,
    )
    return Worker(
        settings,
        source,
        ingest,
        collections,
        publisher,
        reclustering,
        positions,
        lock,
        metrics,
        clock,
    )


def make_source(settings: Settings) -> Source:
    """The source that the settings name."""
    if settings.source == "files":
        from worker.sources.file_source import FileSource

        return FileSource(
            settings.files,
            collection=settings.collection,
            fields=_field_names(settings),
            accept_loss=settings.accept_loss,
        )
    from worker.sources.kafka_settings import KafkaSettings
    from worker.sources.kafka_source import KafkaSource

    return KafkaSource(
        KafkaSettings(
            bootstrap=settings.kafka_bootstrap,
            topic=settings.kafka_topic,
            group=settings.kafka_group,
            ordinal=settings.worker_ordinal,
            workers=settings.worker_count,
            accept_loss=settings.accept_loss,
            until_end=settings.once,
            security=kafka_security(settings),
            start_timeout_seconds=_CONNECT_SECONDS,
        )
    )


def make_dead_letters(settings: Settings) -> DeadLetters:
    """Where this source's refused records go: a topic, or a file in the data directory."""
    if settings.source == "files":
        from worker.dead_letters.file import FileDeadLetters

        return FileDeadLetters(settings.data_dir / "dead-letters.jsonl")
    from worker.dead_letters.kafka import KafkaDeadLetters

    return KafkaDeadLetters(
        settings.kafka_bootstrap,
        settings.kafka_dead_letter_topic or f"{settings.kafka_topic}.dead",
        security=kafka_security(settings),
    )


def make_store(settings: Settings) -> Store:
    """Redis as the settings name it."""
    from worker.store.redis_store import RedisStore

    return RedisStore(
        settings.redis_url.get_secret_value(),
        prefix=settings.redis_prefix,
        lease_seconds=settings.lease_seconds,
        events_kept=settings.events_kept,
    )


def kafka_security(settings: Settings) -> Mapping[str, Any]:
    """kafka-python's security options."""
    password = settings.kafka_password
    options = {
        "security_protocol": settings.kafka_security_protocol,
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": None if password is None else password.get_secret_value(),
        "ssl_cafile": _text(settings.kafka_ca_file),
        "ssl_certfile": _text(settings.kafka_certificate_file),
        "ssl_keyfile": _text(settings.kafka_key_file),
    }
    return {name: value for name, value in options.items() if value is not None}


def _text(path: object) -> str | None:
    return None if path is None else str(path)


def _decode_settings(settings: Settings) -> DecodeSettings:
    return DecodeSettings(
        default_collection=settings.collection,
        max_record_bytes=settings.max_record_bytes,
        fields=_field_names(settings),
    )


def _field_names(settings: Settings) -> FieldNames:
    return FieldNames(
        embedding=settings.embedding_field,
        id=settings.id_field,
        collection=settings.collection_field,
        model=settings.model_field,
        group=settings.group_field,
        uri=settings.uri_field,
        time=settings.time_field,
    )


def _model_edges(settings: Settings) -> Any:
    import torch

    from models import load_model
    from models.errors import ModelError

    # A batch is small: more threads would only take the cores from HNSW.
    torch.set_num_threads(1)
    try:
        model = load_model(settings.weights)
    except ModelError as error:
        raise SettingsError(f"weights: {error}") from error
    return lambda: ModelEdges(model, settings.granularity, settings.group_size)
