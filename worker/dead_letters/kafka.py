"""Dead letters in a Kafka topic."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAlreadyExistsError,
)

from worker.dead_letters.base import DeadLetter
from worker.sources.kafka_client import client_options, translate
from worker.sources.kafka_settings import check_topic

HEADER_PREFIX = "shoal-"
_TIMEOUT_SECONDS = 10.0
# The topic decides what is too large, not the producer.
_MAX_REQUEST_BYTES = 2**30
_SHORT_KEY_BYTES = 1024


@dataclass(frozen=True)
class _Outgoing:
    """What is sent for one letter."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class KafkaDeadLetters:
    """Sends refused records to `topic` as they were, with headers that say why and whence.

    Connects at the first letter, and creates the topic with the brokers' defaults if it is
    missing. A record too large for the topic goes without its value and its own headers. Raises
    `SettingsError` for a name that no topic can have.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        security: Mapping[str, Any] | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        check_topic("kafka_dead_letter_topic", topic)
        self._options = client_options(bootstrap, security or {}, timeout_seconds)
        self._topic = topic
        self._timeout_seconds = timeout_seconds
        self._producer: Any = None

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """See `DeadLetters.send`. Raises `SettingsError` where the brokers forbid it."""
        try:
            if self._producer is None:
                self._producer = self._connect()
            too_large = self._deliver(map(_outgoing, letters))
            if still := self._deliver(map(_shortened, too_large)):
                raise MessageSizeTooLargeError(f"{len(still)} records, even when shortened")
        except KafkaError as error:
            raise translate(error, f"sending dead letters to topic {self._topic!r}") from error

    def close(self) -> None:
        """See `DeadLetters.close`."""
        if self._producer is not None:
            self._producer.close(timeout=self._timeout_seconds)

    def _connect(self) -> Any:
        with closing(KafkaAdminClient(**self._options)) as admin:
            # A topic that is there needs no right to create one.
            if self._is_missing(admin):
                with suppress(TopicAlreadyExistsError):
                    admin.create_topics({self._topic: {}}, wait_for_metadata=True)
        milliseconds = round(self._timeout_seconds * 1000)
        return KafkaProducer(
            **self._options,
            acks="all",
            enable_idempotence=False,  # one record that is too large would end the producer
            max_block_ms=milliseconds,
            delivery_timeout_ms=milliseconds,
            request_timeout_ms=milliseconds // 2,
            max_request_size=_MAX_REQUEST_BYTES,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )

    def _is_missing(self, admin: Any) -> bool:
        (found,) = admin.describe_topics([self._topic])
        return bool(found["error_code"])

    def _deliver(self, records: Iterable[_Outgoing]) -> list[_Outgoing]:
        """Send and wait for all; returns those that are too large for the topic."""
        sent = [
            (record, self._producer.send(self._topic, record.value, record.key, record.headers))
            for record in records
        ]
        self._producer.flush(self._timeout_seconds)
        too_large = []
        for record, future in sent:
            try:
                future.get(self._timeout_seconds)
            except (MessageSizeTooLargeError, RecordListTooLargeError):
                too_large.append(record)
        return too_large


def _outgoing(letter: DeadLetter) -> _Outgoing:
    raw = letter.raw
    topic, _, partition = raw.partition.rpartition("/")
    kept = [header for header in raw.headers if not header[0].startswith(HEADER_PREFIX)]
    ours = {
        "reason": letter.reason,
        "detail": letter.detail,
        "topic": topic,
        "partition": partition,
        "offset": raw.offset,
    }
    headers = [(f"{HEADER_PREFIX}{name}", str(value).encode()) for name, value in ours.items()]
    # A producer cannot send neither key nor value.
    value = b"" if raw.key is None and raw.value is None else raw.value
    return _Outgoing(raw.key, value, kept + headers)


def _shortened(record: _Outgoing) -> _Outgoing:
    """What fits any topic: the original is still where the headers say."""
    ours = [header for header in record.headers if header[0].startswith(HEADER_PREFIX)]
    size = str(len(record.value or b"")).encode()
    key = None if record.key is None else record.key[:_SHORT_KEY_BYTES]
    return _Outgoing(key, b"", [*ours, (f"{HEADER_PREFIX}truncated-bytes", size)])
