"""Whether Kafka answers, and whether its topic keeps records for long enough."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError

from worker.doctor.check import Check, clock, mend, ok, warn
from worker.errors import SettingsError
from worker.kafka_security import kafka_security
from worker.settings import Settings
from worker.sources.kafka_client import client_options, translate

_TIMEOUT_SECONDS = 10.0

# A topic that keeps records for no longer than so many backups take to come is left with nothing
# when the newest ones fail.
_BACKUPS_MISSED = 3

_DAY_SECONDS = 86_400.0


def check_kafka(settings: Settings) -> Iterator[Check]:
    """All that can be found out; blocks for some seconds where no broker answers."""
    if settings.source != "kafka":
        yield ok("kafka", f"not used: the source is {settings.source}")
        return
    try:
        options = client_options(
            settings.kafka_bootstrap, kafka_security(settings), _TIMEOUT_SECONDS
        )
        with closing(KafkaAdminClient(**options)) as admin:
            yield from _check_topic(admin, settings)
        with closing(_consumer(options)) as consumer:
            yield from _check_clock(consumer, settings.kafka_topic)
    except (KafkaError, SettingsError) as error:
        said = (
            translate(error, settings.kafka_bootstrap) if isinstance(error, KafkaError) else error
        )
        yield mend("kafka", str(said), "brokers, security and rights: see docs/guide.md")


def _check_topic(admin: Any, settings: Settings) -> Iterator[Check]:
    yield ok("kafka", f"answers at {settings.kafka_bootstrap}")
    name = settings.kafka_topic
    there = set(admin.list_topics())
    if name not in there:
        yield mend("topic", f"{name!r} does not exist", "create it, or set SHOAL_KAFKA_TOPIC")
        return
    [topic] = admin.describe_topics([name])
    yield partitions(name, len(topic["partitions"]), settings.worker_count)
    yield retention(_configuration(admin, name), settings.backup_url, settings.backup_seconds)
    letters = settings.dead_letter_topic
    if letters in there:
        yield ok("dead letters", f"topic {letters!r}")
    else:
        yield ok("dead letters", f"no topic {letters!r}", "the worker makes it when it needs it")


def partitions(topic: str, count: int, workers: int) -> Check:
    """Whether each of the workers has one."""
    found = f"{topic!r}, {count} partitions"
    if count < workers:
        return warn("topic", found, f"{workers - count} of {workers} workers have no partition")
    return ok("topic", found)


def retention(
    configuration: Mapping[str, str], backup_url: str | None, backup_seconds: float
) -> Check:
    """Whether records stay for as long as the data directory is their only other copy.

    Of a user who may not see it the configuration is empty.
    """
    if not configuration:
        advice = "grant DescribeConfigs on the topic, to have it looked at"
        return warn("retention", "this user may not see it", advice)
    seconds = int(configuration["retention.ms"]) / 1_000
    size = int(configuration["retention.bytes"])
    limits = [_duration(seconds)] if seconds >= 0 else []
    limits += [f"{size} bytes a partition"] if size >= 0 else []
    if "delete" not in configuration["cleanup.policy"]:
        limits = []  # compacted: the last record of every image stays
    if not limits:
        return ok("retention", "records stay for ever")
    found = f"records stay for {' or '.join(limits)}"
    if backup_url is None:
        return warn(
            "retention",
            f"{found}, and no backups are taken",
            "set SHOAL_BACKUP_URL: without the disk, what the topic dropped is lost",
        )
    return _against(backup_seconds, found, seconds, size)


def _against(backup_seconds: float, found: str, seconds: float, size: int) -> Check:
    """Whether so many seconds, or bytes, outlive the time between backups; below 0: no limit."""
    found = f"{found}; a backup every {_duration(backup_seconds)}"
    if 0 <= seconds < backup_seconds:
        return mend(
            "retention",
            found,
            "lengthen retention.ms, or shorten SHOAL_BACKUP_SECONDS: records go before they are"
            " backed up",
        )
    if 0 <= seconds < _BACKUPS_MISSED * backup_seconds:
        return warn("retention", found, f"no {_BACKUPS_MISSED} backups in a row may fail")
    if size >= 0:
        return warn("retention", found, "make sure that so many bytes are not sent between backups")
    return ok("retention", found)


def _configuration(admin: Any, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    found = admin.describe_configs([resource], config_filter="all")
    return {
        name: str(entry["value"])
        for by_name in found.values()
        for entries in by_name.values()
        for name, entry in entries.items()
    }


def _consumer(options: Mapping[str, Any]) -> Any:
    return KafkaConsumer(**options, enable_auto_commit=False, metrics_enabled=False)


def _check_clock(consumer: Any, topic: str) -> Iterator[Check]:
    """Kafka tells no time; a record from the future says that a clock is wrong."""
    numbers = consumer.partitions_for_topic(topic) or ()
    now = time.time()
    asked = {TopicPartition(topic, number): round(now * 1_000) for number in numbers}
    later = (
        [found for found in consumer.offsets_for_times(asked).values() if found] if asked else []
    )
    if asked:
        newest = max((found.timestamp / 1_000 for found in later), default=now)
        yield clock("clock of records", newest - now)


def _duration(seconds: float) -> str:
    if seconds >= _DAY_SECONDS:
        return f"{seconds / _DAY_SECONDS:g} days"
    return f"{seconds / 3_600:g} hours" if seconds >= 3_600 else f"{seconds:g} s"
