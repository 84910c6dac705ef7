"""When a data directory was last backed up, kept beside its collections."""

from dataclasses import dataclass, fields
from pathlib import Path

from index import unseal
from worker.errors import CorruptError

# In the data directory: a copy while it is sent, a lock, and when the last one went well.
FOLDER = "backup"
LAST = "last.json"


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that is whole: begun at `begun` (seconds since 1970), taken in `seconds`. `sent`
    bytes of its `bytes` were not there before.
    """

    name: str
    begun: float
    seconds: float
    collections: int
    images: int
    sent: int
    bytes: int

    def text(self) -> str:
        """It in one line, for people."""
        return (
            f"{self.name}: {self.collections} collections, {self.images} images,"
            f" {self.bytes} bytes, {self.sent} of them sent"
        )


def last_taken(data_dir: Path) -> Taken | None:
    """The last one of this data directory that went well; None where that is not known."""
    try:
        return read_last(data_dir / FOLDER / LAST)
    except (OSError, CorruptError):
        return None


def read_last(path: Path) -> Taken:
    """What is kept of the last backup. Raises `CorruptError` where it is damaged, `OSError`."""
    try:
        return Taken(**unseal(path.read_bytes(), bare=[field.name for field in fields(Taken)]))
    except (ValueError, TypeError) as error:
        raise CorruptError(f"{path}: {error}") from error
