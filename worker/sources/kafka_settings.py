"""The settings of the Kafka source."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.errors import SettingsError

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def check_topic(setting: str, name: str) -> None:
    """Raise `SettingsError` if `name`, the value of `setting`, cannot be that of a topic."""
    if not _TOPIC.fullmatch(name) or name in {".", ".."}:
        raise SettingsError(
            f"{setting}: {name[:80]!r} must be 1 to 249 letters, digits, dots, - or _"
        )


@dataclass(frozen=True)
class KafkaSettings:
    """What to read and how. Raises `SettingsError` for values that cannot work.

    `security` holds kafka-python's `security_protocol`, `sasl_*` and `ssl_*` options. The worker
    takes the partitions whose number modulo `workers` is `ordinal`. With `until_end` the source is
    exhausted once it delivered what was there when it was opened. A broker holds records back until
    there are `gather_bytes` of them, for `gather_seconds` at most: a batch has its price, whatever
    its size, and a stream that trickles would otherwise come one record a batch.
    """

    bootstrap: str
    topic: str
    group: str = "shoal"
    ordinal: int = 0
    workers: int = 1
    accept_loss: bool = False
    until_end: bool = False
    security: Mapping[str, Any] = field(default_factory=dict)
    start_timeout_seconds: float = 60.0
    refresh_seconds: float = 30.0
    partition_fetch_bytes: int = 8 * 2**20
    fetch_bytes: int = 50 * 2**20
    gather_bytes: int = 2**16
    gather_seconds: float = 0.05

    def __post_init__(self) -> None:
        check_topic("kafka_topic", self.topic)
        if not self.group:
            raise SettingsError("kafka_group: '' must not be empty")
        if not 0 <= self.ordinal < self.workers:
            raise SettingsError(
                f"worker_ordinal: {self.ordinal} must be at least 0 and below workers"
                f" ({self.workers})"
            )

    def takes(self, partition: int) -> bool:
        """Whether this worker reads the partition of that number."""
        return partition % self.workers == self.ordinal
