"""The interface of a source: partitions with growing offsets, read by one thread."""

from collections.abc import Mapping
from typing import Protocol

from worker.records import RawRecord


class Source(Protocol):
    """Ordered partitions of records. One thread owns it; nothing here is thread-safe."""

    def open(self, positions: Mapping[str, int]) -> None:
        """Connect and seek every partition to the offset to read next.

        A partition that is absent from `positions` starts at its first record. Raises
        `DataLossError` where a position lies before the first or after the last record that
        the source still has, unless the settings accept that loss, in which case the partition
        is read from its first record and `lost_records` counts what is gone;
        `SourceUnavailableError` if the source cannot be reached.
        """

    def poll(self, max_records: int, timeout_seconds: float) -> list[RawRecord]:
        """Return the next records, waiting at most `timeout_seconds` for the first.

        In order within each partition. While paused it returns nothing but keeps the
        connection alive. Raises `DataLossError` as `open` does; a source that cannot be reached
        for a while returns nothing and goes on by itself.
        """

    def pause(self) -> None:
        """Stop delivering; `poll` goes on being called."""

    def resume(self) -> None:
        """Deliver again."""

    def commit(self, positions: Mapping[str, int]) -> None:
        """Show `positions` (offsets to read next) to the source's own tools; best effort.

        Never raises: the truth is in the data directory.
        """

    def committed(self) -> Mapping[str, int]:
        """The offsets to read next that were last committed, by this or another process.

        Empty where nothing is kept of it. Blocks. Raises `SourceUnavailableError`.
        """

    def lag(self) -> Mapping[str, int]:
        """Records not read yet, by partition."""

    @property
    def origin(self) -> str:
        """Names what the positions are offsets in, since `open`; another one begins anew.

        The topic's id for Kafka, which a topic that was deleted and made again does not keep; empty
        where there is nothing of the kind.
        """

    @property
    def exhausted(self) -> bool:
        """True once nothing will ever come again (files read to their end)."""

    @property
    def lost_records(self) -> int:
        """Records that were gone before they could be read, since `open`."""

    def close(self) -> None:
        """Release every connection; only `open` may be called then."""
