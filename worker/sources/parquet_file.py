"""Vectors and what is said of them in the columns of Parquet."""

from datetime import datetime
from typing import Any

import numpy as np

from worker.errors import DependencyError
from worker.records import RawRecord
from worker.sources.file_reader import RowLabels


class ParquetFile:
    """The rows of a table as records of raw float32, read one row group at a time.

    Columns are named as the fields of messages are; only the embedding (lists of numbers) must
    be there. A row without an embedding becomes an empty record. Raises `SettingsError` if the
    file is not such a table and `DependencyError` if pyarrow is not installed.
    """

    def __init__(self, labels: RowLabels) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise DependencyError(
                f"files: {labels.path}: reading parquet needs pyarrow: pip install 'shoal[parquet]'"
            ) from None
        self._labels = labels
        try:
            self._file = parquet.ParquetFile(labels.path)
        except (OSError, pa.ArrowInvalid) as error:
            raise labels.unusable(f"cannot be read: {error}") from error
        self._columns = _columns(labels, self._file.schema_arrow)
        sizes = [
            self._file.metadata.row_group(group).num_rows
            for group in range(self._file.num_row_groups)
        ]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.rows = int(self._starts[-1])
        self._group = -1
        self._table: dict[str, list[Any]] = {}

    def read(self, start: int, end: int) -> list[RawRecord]:
        """See `FileReader.read`."""
        records = []
        for row in range(start, end):
            group = int(np.searchsorted(self._starts, row, "right")) - 1
            if group != self._group:
                self._load(group)
            records.append(self._record(row, row - int(self._starts[group])))
        return records

    def close(self) -> None:
        """See `FileReader.close`."""
        self._table = {}
        self._file.close()

    def _load(self, group: int) -> None:
        table = self._file.read_row_group(group, list(self._columns.values()))
        self._table = {
            name: _vectors(table[column]) if name == "embedding" else table[column].to_pylist()
            for name, column in self._columns.items()
        }
        self._group = group

    def _record(self, row: int, place: int) -> RawRecord:
        values = {name: column[place] for name, column in self._table.items()}
        vector, id_ = values.pop("embedding"), values.pop("id", None)
        key = self._labels.key(row, self.rows) if id_ is None else _bytes(id_)
        headers = tuple(
            (getattr(self._labels.fields, name), _bytes(value))
            for name, value in values.items()
            if value is not None
        )
        all_headers = self._labels.raw_headers + headers
        return RawRecord(self._labels.partition, row, key, vector, all_headers)


def _columns(labels: RowLabels, schema: Any) -> dict[str, str]:
    """The column of each field that the table has."""
    import pyarrow as pa

    fields = labels.fields
    wanted = {
        name: getattr(fields, name)
        for name in ("embedding", "collection", "model", "group", "uri", "time")
    }
    wanted["id"] = fields.id or "id"
    found = {name: column for name, column in wanted.items() if column in schema.names}
    if "embedding" not in found:
        raise labels.unusable(
            f"has the columns {', '.join(schema.names)}, must have {fields.embedding!r}"
        )
    kind = schema.field(found["embedding"]).type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not (is_list or pa.types.is_fixed_size_list(kind)) or not (
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    ):
        raise labels.unusable(f"column {fields.embedding!r} is {kind}, must be lists of numbers")
    return found


def _vectors(column: Any) -> list[bytes]:
    """Each list of the column as raw float32, empty where there is none."""
    import pyarrow.compute as pc

    vectors = []
    for chunk in column.chunks:
        numbers = np.asarray(chunk.flatten().to_numpy(zero_copy_only=False), "<f4")
        lengths = pc.fill_null(pc.list_value_length(chunk), 0).to_numpy()
        ends = np.cumsum(lengths, dtype=np.int64).tolist()
        starts = [0, *ends[:-1]]
        vectors += [numbers[i:j].tobytes() for i, j in zip(starts, ends, strict=True)]
    return vectors


def _bytes(value: object) -> bytes:
    """A cell as it stands in a header or a key; columns of text may be marked as bytes."""
    if isinstance(value, bytes):
        return value
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return text.encode()
