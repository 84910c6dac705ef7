"""What a worker reads from and writes to, as the settings name it."""

from pathlib import Path

from worker.dead_letters.base import DeadLetters
from worker.decode import FieldNames
from worker.errors import SettingsError
from worker.kafka_security import kafka_security
from worker.settings import Settings
from worker.sources.base import Source
from worker.store.base import Store

# The worker tries again for ever, and between two attempts looks whether it shall stop.
_CONNECT_SECONDS = 10.0


def make_source(settings: Settings) -> Source:
    """The source that the settings name. Raises `SettingsError` where no file is named."""
    if settings.source == "files":
        if not settings.files:
            raise SettingsError("files: () must name at least one file when source is 'files'")
        from worker.sources.file_source import FileSource

        return FileSource(
            settings.files,
            collection=settings.collection,
            fields=field_names(settings),
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

        return FileDeadLetters(letters_path(settings.data_dir))
    from worker.dead_letters.kafka import KafkaDeadLetters

    return KafkaDeadLetters(
        settings.kafka_bootstrap,
        settings.dead_letter_topic,
        security=kafka_security(settings),
    )


def letters_path(data_dir: Path) -> Path:
    """Where dead letters are that go to a file."""
    return data_dir / "dead-letters.jsonl"


def make_store(settings: Settings) -> Store:
    """Redis as the settings name it."""
    from worker.store.redis_store import LINGER_SECONDS, RedisStore

    return RedisStore(
        settings.redis_url.get_secret_value(),
        prefix=settings.redis_prefix,
        lease_seconds=settings.lease_seconds,
        events_kept=settings.events_kept,
        # A purge begins half of that after an erasure: what was replaced before it is gone then.
        linger_seconds=min(LINGER_SECONDS, settings.erasure_seconds / 2),
    )


def field_names(settings: Settings) -> FieldNames:
    """Where the fields of a JSON message are."""
    return FieldNames(
        embedding=settings.embedding_field,
        id=settings.id_field,
        collection=settings.collection_field,
        model=settings.model_field,
        group=settings.group_field,
        uri=settings.uri_field,
        time=settings.time_field,
    )
