"""The source of a worker that reads nothing."""

from collections.abc import Mapping

from worker.records import RawRecord


class NoSource:
    """A `Source` without partitions, exhausted from the start; for work on what is there."""

    def open(self, positions: Mapping[str, int]) -> None:
        """See `Source.open`; nothing is sought."""

    def poll(self, max_records: int, timeout_seconds: float) -> list[RawRecord]:
        """See `Source.poll`; returns nothing, at once."""
        del max_records, timeout_seconds
        return []

    def pause(self) -> None:
        """See `Source.pause`."""

    def resume(self) -> None:
        """See `Source.resume`."""

    def commit(self, positions: Mapping[str, int]) -> None:
        """See `Source.commit`; there is nobody to show them to."""

    def committed(self) -> Mapping[str, int]:
        """See `Source.committed`."""
        return {}

    def lag(self) -> Mapping[str, int]:
        """See `Source.lag`; always empty."""
        return {}

    @property
    def origin(self) -> str:
        """See `Source.origin`; always empty."""
        return ""

    @property
    def exhausted(self) -> bool:
        """Always True."""
        return True

    @property
    def lost_records(self) -> int:
        """Always 0."""
        return 0

    def close(self) -> None:
        """See `Source.close`."""
