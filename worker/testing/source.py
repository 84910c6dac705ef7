"""A topic in memory and the source that reads it."""

from collections import defaultdict
from collections.abc import Mapping

from worker.errors import SourceUnavailableError
from worker.records import RawRecord
from worker.sources.gaps import Losses, find_gaps


class MemoryTopic:
    """What a broker would keep; outlives the sources that read it.

    With `down` set its sources find nothing, as when the brokers are away.
    """

    def __init__(self, name: str = "images", partitions: int = 1) -> None:
        self.name = name
        self.down = False
        self.made = 1
        self.committed: dict[str, int] = {}
        self._records: dict[str, list[RawRecord]] = {}
        self._first: dict[str, int] = defaultdict(int)
        for _ in range(partitions):
            self.add_partition()

    def add_partition(self) -> None:
        """Add an empty partition after the others."""
        self._records[f"{self.name}/{len(self._records)}"] = []

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...] = (),
        partition: int = 0,
        time: float | None = None,
    ) -> int:
        """Add a record at the end of a partition; returns its offset."""
        name = f"{self.name}/{partition}"
        offset = self.end[name]
        self._records[name].append(RawRecord(name, offset, key, value, headers, time))
        return offset

    def truncate(self, before: int, partition: int = 0) -> None:
        """Forget the records of a partition before the offset `before`."""
        name = f"{self.name}/{partition}"
        del self._records[name][: before - self._first[name]]
        self._first[name] = before

    def make_anew(self) -> None:
        """Delete the topic and create it again, empty, with as many partitions."""
        self._records = {name: [] for name in self._records}
        self._first.clear()
        self.made += 1

    @property
    def first(self) -> Mapping[str, int]:
        """The first offset of each partition."""
        return {name: self._first[name] for name in self._records}

    @property
    def end(self) -> Mapping[str, int]:
        """The offset that each partition's next record gets."""
        return {name: self._first[name] + len(all_) for name, all_ in self._records.items()}

    def read(self, partition: str, offset: int, max_records: int) -> list[RawRecord]:
        """The records of a partition from `offset` on."""
        start = offset - self._first[partition]
        return self._records[partition][start : start + max_records]


class MemorySource:
    """The `Source` over a `MemoryTopic`; `poll` never waits.

    With `until_end` it is exhausted once it delivered what was there when it was opened.
    """

    def __init__(
        self, topic: MemoryTopic, *, accept_loss: bool = False, until_end: bool = False
    ) -> None:
        self._topic = topic
        self._losses = Losses("To go on without these records, accept loss.", accept=accept_loss)
        self._until_end = until_end
        self._next: dict[str, int] = {}
        self._targets: dict[str, int] = {}
        self._paused = False

    def open(self, positions: Mapping[str, int]) -> None:
        """See `Source.open`."""
        if self._topic.down:
            raise SourceUnavailableError(f"topic {self._topic.name!r} is set to be down")
        prefix = f"{self._topic.name}/"
        self._next = {p: at for p, at in positions.items() if p.startswith(prefix)}
        self._settle()
        self._targets = dict(self._topic.end)

    def poll(self, max_records: int, timeout_seconds: float) -> list[RawRecord]:
        """See `Source.poll`."""
        del timeout_seconds
        if self._topic.down or self._paused:
            return []
        self._settle()
        records: list[RawRecord] = []
        for partition in self._next:
            found = self._topic.read(partition, self._next[partition], max_records - len(records))
            self._next[partition] += len(found)
            records += found
        return records

    def pause(self) -> None:
        """See `Source.pause`."""
        self._paused = True

    def resume(self) -> None:
        """See `Source.resume`."""
        self._paused = False

    def commit(self, positions: Mapping[str, int]) -> None:
        """See `Source.commit`."""
        if not self._topic.down:
            self._topic.committed.update(positions)

    def committed(self) -> Mapping[str, int]:
        """See `Source.committed`."""
        return dict(self._topic.committed)

    def lag(self) -> Mapping[str, int]:
        """See `Source.lag`."""
        end = self._topic.end
        return {partition: max(0, end[partition] - at) for partition, at in self._next.items()}

    @property
    def origin(self) -> str:
        """See `Source.origin`."""
        return f"{self._topic.name}#{self._topic.made}"

    @property
    def exhausted(self) -> bool:
        """With `until_end`: whether what was there at `open` is delivered; otherwise False."""
        return self._until_end and all(
            self._next[partition] >= end for partition, end in self._targets.items()
        )

    @property
    def lost_records(self) -> int:
        """See `Source.lost_records`."""
        return self._losses.records

    def close(self) -> None:
        """See `Source.close`."""

    def _settle(self) -> None:
        """Check the positions against the topic, and take new partitions."""
        first, end = self._topic.first, self._topic.end
        gaps = find_gaps(self._next, first, end)
        self._losses.settle(gaps)
        lost = {gap.partition for gap in gaps}
        kept = {p: at for p, at in self._next.items() if p not in lost}
        self._next = {partition: kept.get(partition, first[partition]) for partition in first}
