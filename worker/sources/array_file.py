"""Vectors in NumPy's files: `npz` (features and, if there are, ids) and `npy`."""

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from worker.records import RawRecord
from worker.sources.file_reader import RowLabels

_FEATURES = "features"
_IDS = "ids"
_LOCAL_HEADER_BYTES = 30

Array = NDArray[Any]


@dataclass(frozen=True)
class _Member:
    """An array of an npz file: what it is, and how to come by it."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    start: int | None

    def load(self) -> Array:
        """The array, mapped where it lies unless it is compressed."""
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        if self.start is None:
            with np.load(self.path, allow_pickle=False) as archive:
                return np.asarray(archive[self.name])
        order: Literal["F", "C"] = "F" if self.fortran else "C"
        return np.memmap(self.path, self.dtype, "r", self.start, self.shape, order)


class ArrayFile:
    """The rows of a matrix as records of raw float32, memory-mapped unless compressed.

    Raises `SettingsError` if the file is not such a matrix with `ids` of the same length.
    """

    def __init__(self, labels: RowLabels) -> None:
        self._labels = labels
        try:
            self._features, self._ids = _find(labels)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise labels.unusable(f"cannot be read: {error}") from error
        _check(labels, self._features, self._ids)
        self.rows = self._features.shape[0]

    def read(self, start: int, end: int) -> list[RawRecord]:
        """See `FileReader.read`."""
        headers, partition = self._labels.raw_headers, self._labels.partition
        features, ids = self._arrays
        with np.errstate(over="ignore"):  # what becomes infinite is refused as such
            vectors = np.ascontiguousarray(features[start:end], "<f4")
        keys = [
            self._labels.key(row, self.rows) if ids is None else _text(ids[row])
            for row in range(start, end)
        ]
        return [
            RawRecord(partition, row, key, vector.tobytes(), headers)
            for row, (key, vector) in enumerate(zip(keys, vectors, strict=True), start)
        ]

    def close(self) -> None:
        """See `FileReader.close`."""
        self.__dict__.pop("_arrays", None)

    @cached_property
    def _arrays(self) -> tuple[Array, Array | None]:
        return self._features.load(), None if self._ids is None else self._ids.load()


def _find(labels: RowLabels) -> tuple[_Member, _Member | None]:
    path = labels.path
    if path.suffix == ".npy":
        with path.open("rb") as stream:
            shape, fortran, dtype = _header(stream)
            return _Member(path, "", shape, dtype, fortran, stream.tell()), None
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if _FEATURES not in names:
            raise labels.unusable(
                f"has the arrays {', '.join(names) or 'none'}, must have {_FEATURES!r}"
            )
        ids = _member(path, archive, _IDS) if _IDS in names else None
        return _member(path, archive, _FEATURES), ids


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> _Member:
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as stream:
        shape, fortran, dtype = _header(stream)
        header_bytes = stream.tell()
    start = None
    if info.compress_type == zipfile.ZIP_STORED:
        start = _data_start(path, info) + header_bytes
    return _Member(path, name, shape, dtype, fortran, start)


def _data_start(path: Path, info: zipfile.ZipInfo) -> int:
    """Where the bytes of a member begin (ZIP application note, 4.3.7: local file header)."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        local = file.read(_LOCAL_HEADER_BYTES)
    name_bytes = int.from_bytes(local[26:28], "little")
    extra_bytes = int.from_bytes(local[28:30], "little")
    return info.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    if npy_format.read_magic(stream) == (1, 0):
        return npy_format.read_array_header_1_0(stream)
    return npy_format.read_array_header_2_0(stream)


def _check(labels: RowLabels, features: _Member, ids: _Member | None) -> None:
    if len(features.shape) != 2 or features.dtype.kind not in "fiu":
        raise labels.unusable(
            f"features are {features.dtype} {features.shape}, must be numbers [n, d]"
        )
    rows = features.shape[:1]
    if ids is not None and (ids.shape != rows or ids.dtype.kind not in "USiu"):
        raise labels.unusable(f"ids are {ids.dtype} {ids.shape}, must be text or integers {rows}")


def _text(own: object) -> bytes:
    return own if isinstance(own, bytes) else str(own).encode()
