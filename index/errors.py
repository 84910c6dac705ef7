"""The exception tree of what is kept on disk. `exit_code` is what the shell sees.

StorageError                1  base; also a wrong call, such as a transaction inside another
├── DirectoryError          3  the folder cannot be made or holds something else
├── FormatError             3  written by a newer Shoal
├── CorruptError            7  the log or the catalog fails its checks and cannot be rebuilt
├── SnapshotError           1  a snapshot fails its checks; recovery goes on with the one before
├── ModelError              2  the collection holds embeddings of another model
└── VectorError             2  a vector that cannot be kept (also a ValueError)
    └── DimensionError      2  a vector, or a collection, of another dimension
"""

from typing import ClassVar


class StorageError(Exception):
    """Base of everything that `index` raises on purpose."""

    exit_code: ClassVar[int] = 1


class DirectoryError(StorageError):
    """The folder of a collection cannot be made, or holds something else."""

    exit_code = 3


class FormatError(StorageError):
    """The folder was written by a newer version."""

    exit_code = 3


class CorruptError(StorageError):
    """The vector log or the catalog fails its checks and cannot be rebuilt."""

    exit_code = 7


class SnapshotError(StorageError):
    """A snapshot fails its checks, or could not be written whole."""


class ModelError(StorageError):
    """The collection holds embeddings of another model."""

    exit_code = 2


class VectorError(StorageError, ValueError):
    """A vector cannot be kept: not finite, or not of unit length."""

    exit_code = 2


class DimensionError(VectorError):
    """A vector, or the collection, has another dimension."""
