"""JSON messages, one a line."""

from itertools import islice

from pydantic_core import from_json

from worker.records import RawRecord
from worker.sources.file_reader import RowLabels

_CHUNK_BYTES = 2**20


class JsonLinesFile:
    """The lines of a file as JSON records; the key is the line's field `id`, if it has one.

    Empty lines are skipped. Raises `SettingsError` if the file cannot be read.
    """

    def __init__(self, labels: RowLabels) -> None:
        self._labels = labels
        try:
            self._file = labels.path.open("rb")
        except OSError as error:
            raise labels.unusable(str(error.strerror)) from error
        self.rows = self._count()
        self._next = self.rows

    def read(self, start: int, end: int) -> list[RawRecord]:
        """See `FileReader.read`; fastest where the last call ended."""
        if start != self._next:
            self._file.seek(0)
            skipped = islice(self._file, start)
            for _ in skipped:
                pass
        self._next = end
        lines = enumerate(islice(self._file, end - start), start)
        return [self._record(row, line) for row, line in lines if line.strip()]

    def close(self) -> None:
        """See `FileReader.close`."""
        self._file.close()

    def _record(self, row: int, line: bytes) -> RawRecord:
        labels = self._labels
        key = _own_id(line, labels.fields.id or "id") or labels.key(row, self.rows)
        return RawRecord(labels.partition, row, key, line.rstrip(b"\r\n"), labels.headers)

    def _count(self) -> int:
        count, last = 0, b"\n"
        while chunk := self._file.read(_CHUNK_BYTES):
            count += chunk.count(b"\n")
            last = chunk[-1:]
        return count + (last != b"\n")


def _own_id(line: bytes, path: str) -> bytes | None:
    try:
        value = from_json(line)
    except ValueError:
        return None  # the decoder will refuse it
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return str(value).encode(errors="replace") if type(value) in {str, int} else None
