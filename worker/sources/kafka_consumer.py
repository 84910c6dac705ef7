"""Connecting kafka-python's consumer, and what its records are to us."""

from typing import Any

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from worker.records import RawRecord
from worker.sources.kafka_client import client_options, translate
from worker.sources.kafka_settings import KafkaSettings


def connect(settings: KafkaSettings) -> Any:
    """A consumer that joins no group and never moves or commits by itself.

    Raises `SourceUnavailableError` if no broker answers within `start_timeout_seconds`.
    """
    options = client_options(settings.bootstrap, settings.security, settings.start_timeout_seconds)
    try:
        return KafkaConsumer(
            **options,
            group_id=settings.group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            metrics_enabled=False,
            metadata_max_age_ms=round(settings.refresh_seconds * 1000),
            max_partition_fetch_bytes=settings.partition_fetch_bytes,
            fetch_max_bytes=settings.fetch_bytes,
            fetch_min_bytes=settings.gather_bytes,
            fetch_max_wait_ms=round(settings.gather_seconds * 1000),
        )
    except KafkaError as error:
        protocol = settings.security.get("security_protocol", "PLAINTEXT")
        doing = f"connecting to Kafka at {settings.bootstrap} ({protocol})"
        raise translate(error, doing) from error


def to_raw(partition: str, record: Any) -> RawRecord:
    """One of its records as ours."""
    headers = record.headers
    return RawRecord(
        partition,
        record.offset,
        record.key,
        record.value,
        tuple((name, value or b"") for name, value in headers) if headers else (),
        record.timestamp / 1000 if record.timestamp >= 0 else None,
    )
