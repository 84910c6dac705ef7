"""Images as Kafka messages: the other side of `worker.decode`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kafka import KafkaProducer
from kafka.errors import AuthorizationError, KafkaError
from kafka.partitioner.default import murmur2
from pydantic_core import to_json

from worker.decode import CONTENT_TYPE_HEADER, FLOAT16, FLOAT32
from worker.errors import ShoalError, SourceUnavailableError
from worker.records import Upsert
from worker.sources.kafka_client import client_options, translate

DEFAULT_COLLECTION = "main"
_TIMEOUT_SECONDS = 30.0
_LINGER_MS = 20
_BATCH_BYTES = 2**18
_MAX_REQUEST_BYTES = 2**26


class Format(StrEnum):
    """How the embedding travels."""

    JSON = "json"
    FLOAT32 = "float32"
    FLOAT16 = "float16"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def encode(record: Upsert, form: Format) -> Outgoing:
    """The message that decodes to `record`; an empty collection is left unsaid."""
    tags = {
        name: value
        for name in ("collection", "model", "group", "uri", "time")
        if (value := getattr(record, name)) not in {None, ""}
    }
    key = record.id.encode()
    if form is Format.JSON:
        return Outgoing(key, to_json({"embedding": record.embedding.tolist()} | tags), [])
    content_type, dtype = (FLOAT32, "<f4") if form is Format.FLOAT32 else (FLOAT16, "<f2")
    headers = {CONTENT_TYPE_HEADER: content_type} | tags
    return Outgoing(
        key,
        record.embedding.astype(dtype).tobytes(),
        [(name, str(value).encode()) for name, value in headers.items()],
    )


class Sender:
    """Produces images to a topic that exists; all replicas must have each (`acks=all`).

    A collection other than the default one goes to one partition, chosen by its name as Kafka's
    own clients choose by key; the default one is spread by id. Raises `SourceUnavailableError`
    if brokers or topic are not there.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        form: Format = Format.JSON,
        security: Mapping[str, Any] | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._topic = topic
        self._form = form
        self._timeout_seconds = timeout_seconds
        self._failure: Exception | None = None
        self._places: dict[str, int] = {}
        milliseconds = round(timeout_seconds * 1000)
        try:
            self._producer = KafkaProducer(
                **client_options(bootstrap, security or {}, timeout_seconds),
                acks="all",
                linger_ms=_LINGER_MS,
                batch_size=_BATCH_BYTES,
                max_request_size=_MAX_REQUEST_BYTES,
                max_block_ms=milliseconds,
                delivery_timeout_ms=milliseconds,
                request_timeout_ms=milliseconds // 2,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        except KafkaError as error:
            raise translate(error, f"connecting to Kafka at {bootstrap}") from error
        self._partitions = self._find_partitions()

    def send(self, record: Upsert) -> None:
        """Hand over one image; it is sent in the background. Raises what an earlier one met."""
        message = encode(record, self._form)
        try:
            self._producer.send(
                self._topic,
                message.value,
                message.key,
                message.headers,
                self._partition(record.collection),
            ).add_errback(self._fail)
        except KafkaError as error:
            self._fail(error)
        self._raise_failure()

    def flush(self) -> None:
        """Block until everything handed over is stored. Raises what any of it met."""
        try:
            self._producer.flush(self._timeout_seconds)
        except KafkaError as error:
            self._fail(error)
        self._raise_failure()

    def close(self) -> None:
        """Release every connection."""
        self._producer.close(timeout=self._timeout_seconds)

    def _find_partitions(self) -> list[int]:
        try:
            found = self._producer.partitions_for(self._topic)
        except AuthorizationError as error:
            self.close()
            raise translate(error, f"sending to topic {self._topic!r}") from error
        except KafkaError:
            found = None
        if not found:
            self.close()
            raise SourceUnavailableError(f"topic {self._topic!r} does not exist; create it first")
        return sorted(found)

    def _partition(self, collection: str) -> int | None:
        if collection in {"", DEFAULT_COLLECTION}:
            return None
        if collection not in self._places:
            place = (murmur2(collection.encode()) & 0x7FFFFFFF) % len(self._partitions)
            self._places[collection] = self._partitions[place]
        return self._places[collection]

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure: ShoalError = translate(self._failure, f"sending to topic {self._topic!r}")
            raise failure from self._failure
