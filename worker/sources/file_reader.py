"""What every kind of file has in common: numbered rows that become records."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from worker.decode import CONTENT_TYPE_HEADER, FLOAT32, FieldNames
from worker.errors import SettingsError
from worker.records import RawRecord


class FileReader(Protocol):
    """One open file. Partition is its absolute path, offset the row number."""

    rows: int

    def read(self, start: int, end: int) -> list[RawRecord]:
        """The records of the rows from `start` (included) to `end` (not); empty rows have none."""

    def close(self) -> None:
        """Release the file."""


@dataclass(frozen=True)
class RowLabels:
    """What the records of one file carry beside their vectors."""

    path: Path
    collection: str | None = None
    fields: FieldNames = field(default_factory=FieldNames)

    @property
    def partition(self) -> str:
        """The partition of the file."""
        return str(self.path.absolute())

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The collection, if one is given, as a header."""
        if self.collection is None:
            return ()
        return ((self.fields.collection, self.collection.encode()),)

    @property
    def raw_headers(self) -> tuple[tuple[str, bytes], ...]:
        """`headers` for a row that is sent as raw float32."""
        return ((CONTENT_TYPE_HEADER, FLOAT32.encode()), *self.headers)

    def key(self, row: int, rows: int) -> bytes:
        """The id of a row that has none of its own: `stem/0042`, as wide as the last needs."""
        return f"{self.path.stem}/{row:0{len(str(rows - 1))}}".encode()

    def unusable(self, problem: str) -> SettingsError:
        """The error that names the file."""
        return SettingsError(f"files: {self.path}: {problem}")
