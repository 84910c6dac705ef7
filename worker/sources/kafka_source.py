"""Records from the partitions of one Kafka topic, without joining a group."""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from kafka import TopicPartition
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    LogTruncationError,
    OffsetOutOfRangeError,
)
from kafka.structs import OffsetAndMetadata

from worker.clock import Clock, SystemClock
from worker.errors import RetryError
from worker.records import RawRecord
from worker.sources.gaps import Gap, Losses, find_gaps
from worker.sources.kafka_client import translate
from worker.sources.kafka_consumer import connect, to_raw
from worker.sources.kafka_settings import KafkaSettings
from worker.sources.kafka_topic import KafkaTopic

_LAG_TIMEOUT_MS = 1_000
_LAG_SECONDS = 5.0
_CLOSE_TIMEOUT_MS = 3_000
_COMMITTED_TIMEOUT_MS = 10_000
_WARN_SECONDS = 60.0
_ADVICE = "To go on without these records, set accept_loss."

_log = structlog.get_logger(__name__)


class KafkaSource:
    """The `Source` over a topic; partition `images/3` is partition 3 of the topic `images`.

    Partitions are taken by number (`KafkaSettings.takes`), also those added while it runs.
    Aborted transactions are not delivered. A topic that is deleted and made anew while it runs
    counts as data loss.
    """

    def __init__(self, settings: KafkaSettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._losses = Losses(_ADVICE, accept=settings.accept_loss)
        self._consumer: Any = None
        self._names: dict[TopicPartition, str] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._targets: dict[TopicPartition, int] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._paused = False
        self._commits: dict[TopicPartition, OffsetAndMetadata] = {}
        self._last_commit: Any = None
        self._next_refresh = self._next_lag = self._next_warning = 0.0

    def open(self, positions: Mapping[str, int]) -> None:
        """See `Source.open`; waits for brokers and topic up to `start_timeout_seconds`."""
        settings = self._settings
        self._names, self._ends, self._commits, self._last_commit = {}, {}, {}, None
        self._consumer = connect(settings)
        self._topic = KafkaTopic(self._consumer, settings.topic)
        try:
            self._topic.wait(settings.start_timeout_seconds, self._clock)
            self._topic_id = self._topic.id
            self._take(self._topic.partitions(), self._of_this_worker(positions))
        except KafkaError as error:
            self.close()
            raise translate(error, f"opening topic {settings.topic!r}") from error
        except BaseException:
            self.close()
            raise
        self._aim()

    def poll(self, max_records: int, timeout_seconds: float) -> list[RawRecord]:
        """See `Source.poll`. Raises `SettingsError` where the brokers refused the last commit."""
        self._raise_forbidden_commit()
        try:
            if self._was_made_anew():
                self._start_over()
            self._take_added_partitions()
            batches = self._consumer.poll(round(timeout_seconds * 1000), max_records)
            if self._was_made_anew():
                return []
        except OffsetOutOfRangeError as error:
            self._seek_again(error.args[0], {})
        except LogTruncationError as error:
            self._seek_again(error.divergent_offsets, error.divergent_offsets)
        except KafkaError as error:
            self._warn_or_raise(error)
            self._clock.sleep(timeout_seconds)
        else:
            self._positions |= {p: records[-1].offset + 1 for p, records in batches.items()}
            return [
                to_raw(name, record)
                for partition, records in batches.items()
                for name in (self._names[partition],)
                for record in records
            ]
        return []

    def pause(self) -> None:
        """See `Source.pause`."""
        self._paused = True
        self._consumer.pause(*self._names)

    def resume(self) -> None:
        """See `Source.resume`."""
        self._paused = False
        self._consumer.resume(*self._names)

    def commit(self, positions: Mapping[str, int]) -> None:
        """See `Source.commit`; does not wait for the brokers."""
        offsets = {
            partition: OffsetAndMetadata(positions[name], "", -1)
            for partition, name in self._names.items()
            if name in positions
        }
        self._commits |= offsets
        if offsets:
            with contextlib.suppress(KafkaError):
                self._last_commit = self._consumer.commit_async(offsets)

    def committed(self) -> Mapping[str, int]:
        """See `Source.committed`."""
        try:
            found = {
                name: self._consumer.committed(partition, timeout_ms=_COMMITTED_TIMEOUT_MS)
                for partition, name in self._names.items()
            }
        except KafkaError as error:
            group = self._settings.group
            raise translate(error, f"reading the offsets of group {group!r}") from error
        return {name: offset for name, offset in found.items() if offset is not None}

    def lag(self) -> Mapping[str, int]:
        """See `Source.lag`; from the last answers of the brokers."""
        self._update_ends()
        return {
            name: max(0, self._ends.get(partition, 0) - self._position(partition))
            for partition, name in self._names.items()
        }

    @property
    def origin(self) -> str:
        """See `Source.origin`."""
        return "" if self._topic_id is None else str(self._topic_id)

    @property
    def exhausted(self) -> bool:
        """With `until_end`: whether what was there at `open` is delivered; otherwise False."""
        return self._settings.until_end and all(
            self._position(partition) >= end for partition, end in self._targets.items()
        )

    @property
    def lost_records(self) -> int:
        """See `Source.lost_records`."""
        return self._losses.records

    def close(self) -> None:
        """See `Source.close`; waits a moment for the last commit."""
        if self._consumer is None:
            return
        with contextlib.suppress(KafkaError):
            if self._last_commit is not None and not self._last_commit.succeeded():
                self._consumer.commit(self._commits, timeout_ms=_CLOSE_TIMEOUT_MS)
        self._consumer.close(autocommit=False, timeout_ms=_CLOSE_TIMEOUT_MS)
        self._consumer = None
        self._names = {}

    def _of_this_worker(self, positions: Mapping[str, int]) -> dict[str, int]:
        """The positions in partitions of the topic that are this worker's to read."""
        mine = {}
        for name, position in positions.items():
            topic, _, number = name.rpartition("/")
            ours = topic == self._topic.name and number.isdecimal()
            if ours and self._settings.takes(int(number)):
                mine[name] = position
        return mine

    def _take(
        self,
        numbers: Iterable[int],
        positions: Mapping[str, int],
        cut: Mapping[TopicPartition, Any] | None = None,
    ) -> None:
        """Assign this worker's partitions of `numbers` and seek those that it had not yet.

        `cut` holds where the brokers say that a partition was cut.
        """
        mine = [TopicPartition(self._topic.name, n) for n in numbers if self._settings.takes(n)]
        names = {partition: f"{partition.topic}/{partition.partition}" for partition in mine}
        first, end = self._topic.offsets(p for p in mine if p not in self._names)
        limits = end | {p: at.offset for p, at in (cut or {}).items() if at is not None}
        gaps = find_gaps(
            positions,
            {names[p]: offset for p, offset in first.items()},
            {names[p]: offset for p, offset in limits.items()},
        )
        self._losses.settle(gaps)
        broken = {gap.partition for gap in gaps}
        self._consumer.assign(mine)
        for partition, start in first.items():
            name = names[partition]
            at = start if name in broken else positions.get(name, start)
            self._consumer.seek(partition, at)
            self._positions[partition] = at
        self._names = names
        self._ends |= end
        if self._paused:
            self._consumer.pause(*mine)

    def _take_added_partitions(self) -> None:
        now = self._clock.monotonic()
        if now < self._next_refresh:
            return
        self._next_refresh = now + self._settings.refresh_seconds
        known = self._topic.partitions()
        had = {partition.partition for partition in self._names}
        if added := {number for number in known - had if self._settings.takes(number)}:
            _log.info("partitions added", topic=self._topic.name, partitions=sorted(added))
            self._take(had | added, {})

    def _seek_again(
        self, partitions: Iterable[TopicPartition], cut: Mapping[TopicPartition, Any]
    ) -> None:
        """Settle what happened to partitions whose position the brokers refuse."""
        if self._was_made_anew():
            return  # the next poll starts over
        had, affected = self._names, set(partitions)
        positions = {had[p]: self._position(p) for p in affected}
        self._names = {p: name for p, name in had.items() if p not in affected}
        try:
            self._take([p.partition for p in had], positions, cut)
        except KafkaError as error:
            self._warn_or_raise(error)
        finally:
            self._names = {**had, **self._names}

    def _was_made_anew(self) -> bool:
        """Whether another topic of the same name took the place of ours."""
        return self._topic.id not in {self._topic_id, None} and bool(self._topic.partitions())

    def _start_over(self) -> None:
        """Settle the loss of the whole topic, then read its successor from the start."""
        partitions, unread = self._topic.partitions(), self.lag()
        first, end = self._topic.offsets(p for p in self._names if p.partition in partitions)
        what = "the topic was made anew"
        gaps = [
            Gap(name, self._position(p), first.get(p, 0), end.get(p, 0), unread[name], what)
            for p, name in self._names.items()
        ]
        self._losses.settle(gaps)
        self._consumer.unsubscribe()
        self._names = {}
        self._take(partitions, {})
        self._topic_id = self._topic.id
        self._aim()

    def _aim(self) -> None:
        """With `until_end`, note where the end is now."""
        if self._settings.until_end:
            self._targets = {partition: self._ends[partition] for partition in self._names}

    def _update_ends(self) -> None:
        """Answers to fetches carry the ends; while paused nothing is fetched, so ask for them."""
        now = self._clock.monotonic()
        if not self._paused:
            ends = {p: self._consumer.highwater(p) for p in self._names}
            self._ends |= {p: end for p, end in ends.items() if end is not None}
        elif now >= self._next_lag:
            self._next_lag = now + _LAG_SECONDS
            with contextlib.suppress(KafkaError):
                self._ends |= self._topic.ends(list(self._names), _LAG_TIMEOUT_MS)

    def _position(self, partition: TopicPartition) -> int:
        # It also tells, once, that the log was cut; that is for `poll`, which validates again.
        with contextlib.suppress(KafkaError):
            at = self._consumer.position(partition, timeout_ms=0)
            self._positions[partition] = int(at or 0)
        return self._positions.get(partition, 0)

    def _raise_forbidden_commit(self) -> None:
        """Other failures of a commit are made up for by the next one."""
        if self._last_commit is not None and self._last_commit.failed():
            error = self._last_commit.exception
            if isinstance(error, AuthorizationError):
                group = self._settings.group
                raise translate(error, f"committing offsets of group {group!r}") from error

    def _warn_or_raise(self, error: KafkaError) -> None:
        translated = translate(error, f"reading topic {self._topic.name!r}")
        if not isinstance(translated, RetryError):
            raise translated from error
        now = self._clock.monotonic()
        if now >= self._next_warning:
            self._next_warning = now + _WARN_SECONDS
            _log.warning("reading fails, trying again", error=str(translated))
