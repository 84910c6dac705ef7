"""One process per data directory."""

import errno
import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.errors import DataDirectoryError


class DirectoryLock:
    """Holds `directory`/lock for the life of the process; the kernel frees it at any death.

    Raises `DataDirectoryError` naming the holder, at once, if another process has it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DataDirectoryError(f"data_dir: {directory}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 200, 0).decode(errors="replace").strip()
            os.close(self._file)
            raise DataDirectoryError(f"data_dir: {directory} is locked by {holder}") from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def check(self) -> None:
        """Raise `OSError` if the directory at this path is not the one that is locked.

        So it is while the disk that it lies on is not mounted.
        """
        path = self.directory / "lock"
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            found = None
        if found is None or not os.path.samestat(found, os.fstat(self._file)):
            raise OSError(errno.ESTALE, "the data directory is another than at the start", path)

    def close(self) -> None:
        """Let go."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def is_locked(directory: Path) -> bool:
    """Whether a process holds the lock of `directory` now."""
    try:
        file = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
