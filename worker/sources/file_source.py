"""Records from files, to fill a collection without Kafka."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from worker.clock import Clock, SystemClock
from worker.decode import FieldNames
from worker.records import RawRecord
from worker.sources.array_file import ArrayFile
from worker.sources.file_reader import FileReader, RowLabels
from worker.sources.gaps import Losses, find_gaps
from worker.sources.jsonl_file import JsonLinesFile
from worker.sources.parquet_file import ParquetFile

_READERS: Mapping[str, Callable[[RowLabels], FileReader]] = {
    ".npz": ArrayFile,
    ".npy": ArrayFile,
    ".jsonl": JsonLinesFile,
    ".parquet": ParquetFile,
}


class FileSource:
    """The `Source` over files, read one after the other and once.

    A file is a partition named by its absolute path; offsets are row numbers. Records belong to
    `collection` unless they say otherwise. A file that got shorter than what was read of it
    counts as data loss.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        collection: str | None = None,
        fields: FieldNames | None = None,
        *,
        accept_loss: bool = False,
        clock: Clock | None = None,
    ) -> None:
        labels = [RowLabels(Path(path), collection, fields or FieldNames()) for path in paths]
        self._labels = {one.partition: one for one in labels}
        self._losses = Losses("To read it from the start, set accept_loss.", accept=accept_loss)
        self._clock = clock or SystemClock()
        self._rows: dict[str, int] = {}
        self._next: dict[str, int] = {}
        self._open: tuple[str, FileReader] | None = None
        self._paused = False

    def open(self, positions: Mapping[str, int]) -> None:
        """See `Source.open`. Raises `SettingsError` for a file that cannot be read."""
        for partition, labels in self._labels.items():
            reader = open_file(labels)
            self._rows[partition] = reader.rows
            reader.close()
        known = {p: positions.get(p, 0) for p in self._labels}
        gaps = find_gaps(known, {}, self._rows)
        self._losses.settle(gaps)
        self._next = known | {gap.partition: 0 for gap in gaps}

    def poll(self, max_records: int, timeout_seconds: float) -> list[RawRecord]:
        """See `Source.poll`."""
        records: list[RawRecord] = []
        if not self._paused:
            for partition in self._next:
                self._read(partition, max_records, records)
        if not records:
            self._clock.sleep(timeout_seconds)
        return records

    def pause(self) -> None:
        """See `Source.pause`."""
        self._paused = True

    def resume(self) -> None:
        """See `Source.resume`."""
        self._paused = False

    def commit(self, positions: Mapping[str, int]) -> None:
        """See `Source.commit`; files have nowhere to show them."""

    def committed(self) -> Mapping[str, int]:
        """See `Source.committed`."""
        return {}

    def lag(self) -> Mapping[str, int]:
        """See `Source.lag`."""
        return {partition: self._rows[partition] - row for partition, row in self._next.items()}

    @property
    def origin(self) -> str:
        """See `Source.origin`; a file is known by its path alone."""
        return ""

    @property
    def exhausted(self) -> bool:
        """See `Source.exhausted`."""
        return not any(self.lag().values())

    @property
    def lost_records(self) -> int:
        """See `Source.lost_records`."""
        return self._losses.records

    def close(self) -> None:
        """See `Source.close`."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _read(self, partition: str, max_records: int, records: list[RawRecord]) -> None:
        """Add records of one file to `records` until there are enough or it ends."""
        while (
            len(records) < max_records and (start := self._next[partition]) < self._rows[partition]
        ):
            end = min(start + max_records - len(records), self._rows[partition])
            records += self._reader(partition).read(start, end)
            self._next[partition] = end

    def _reader(self, partition: str) -> FileReader:
        if self._open is None or self._open[0] != partition:
            self.close()
            self._open = (partition, open_file(self._labels[partition]))
        return self._open[1]


def open_file(labels: RowLabels) -> FileReader:
    """Open a file by what its name ends in. Raises `SettingsError` naming the file."""
    if not labels.path.is_file():
        raise labels.unusable("is no file")
    reader = _READERS.get(labels.path.suffix.lower())
    if reader is None:
        raise labels.unusable(f"is of an unknown kind, allowed: {', '.join(_READERS)}")
    return reader(labels)
