"""What the brokers say about one topic."""

from collections.abc import Iterable
from typing import Any

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import TopicAuthorizationFailedError

from worker.clock import Clock
from worker.errors import SourceUnavailableError

_ASK_TIMEOUT_MS = 10_000
_LOOK_SECONDS = 0.05

_log = structlog.get_logger(__name__)


class KafkaTopic:
    """The topic `name` as `consumer` knows it. Only `offsets`, `ends` and `wait` block."""

    def __init__(self, consumer: KafkaConsumer, name: str) -> None:
        self.name = name
        self._consumer = consumer
        # The public calls ask the brokers, without a limit of time, when the topic is unknown.
        self._metadata: Any = consumer._cluster  # noqa: SLF001  see above

    @property
    def id(self) -> object:
        """Changes when a topic of the same name is made anew; None while there is none."""
        return self._metadata.topic_id(self.name)

    def partitions(self) -> set[int]:
        """The numbers of its partitions, as of the last refresh; empty while there is none."""
        return set(self._metadata.partitions_for_topic(self.name) or ())

    def wait(self, seconds: float, clock: Clock) -> None:
        """Block until the topic exists. Raises `SourceUnavailableError` after `seconds`, and
        `TopicAuthorizationFailedError` where the brokers do not say whether it does.
        """
        self._metadata.set_topics([self.name])
        start = clock.monotonic()
        said = False
        while not self.partitions():
            if self.name in self._metadata.unauthorized_topics:
                raise TopicAuthorizationFailedError(self.name)
            waited = clock.monotonic() - start
            if waited > seconds:
                raise SourceUnavailableError(
                    f"topic {self.name!r} does not exist (waited {seconds:g} s): "
                    "create it, or set kafka_topic to one that does"
                )
            if not said and waited > 1.0:
                said = True
                _log.warning("waiting for the topic", topic=self.name, seconds=seconds)
            clock.sleep(_LOOK_SECONDS)

    def offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """The first offset and the end (last + 1) of each partition. Raises `KafkaError`."""
        asked = list(partitions)
        if not asked:
            return {}, {}
        first = self._consumer.beginning_offsets(asked, timeout_ms=_ASK_TIMEOUT_MS)
        return first, self.ends(asked, _ASK_TIMEOUT_MS)

    def ends(self, partitions: list[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        """The end of each partition. Raises `KafkaError`."""
        ends: dict[TopicPartition, int] = self._consumer.end_offsets(
            partitions, timeout_ms=timeout_ms
        )
        return ends
