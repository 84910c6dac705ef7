"""Where a source no longer has what is to be read next, and what to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from worker.errors import DataLossError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gap:
    """`position` is to be read next, but the source holds `first` (included) to `end` (not).

    `records` is how many are gone, as far as that can be known. Reading goes on at `first`.
    """

    partition: str
    position: int
    first: int
    end: int
    records: int
    what: str

    def __str__(self) -> str:
        there = f"{self.first} to {self.end - 1}" if self.end > self.first else "none"
        return (
            f"{self.partition}: {self.what}: offset {self.position} is next to be read, there are "
            f"{there}, {self.records} records are gone"
        )


def find_gaps(
    positions: Mapping[str, int], first: Mapping[str, int], end: Mapping[str, int]
) -> list[Gap]:
    """The positions outside of what the source has (`first` and `end` by partition).

    A partition that `end` lacks does not exist any more.
    """
    gaps = []
    for partition, position in positions.items():
        low, high = first.get(partition, 0), end.get(partition, 0)
        if position < low:
            what = "records were deleted before they were read"
            gaps.append(Gap(partition, position, low, high, low - position, what))
        elif position > high:
            what = "it was cut short or made anew"
            gaps.append(Gap(partition, position, low, high, position - high, what))
    return gaps


class Losses:
    """Refuses gaps, or counts them where the settings accept them. `advice` ends the refusal."""

    def __init__(self, advice: str, *, accept: bool) -> None:
        self._advice = advice
        self._accept = accept
        self.records = 0

    def settle(self, gaps: Sequence[Gap]) -> None:
        """Count the gaps. Raises `DataLossError` naming them all, unless they are accepted."""
        if gaps and not self._accept:
            raise DataLossError(f"{'; '.join(map(str, gaps))}. {self._advice}")
        for gap in gaps:
            _log.error("records lost, going on", partition=gap.partition, gap=str(gap))
            self.records += gap.records
