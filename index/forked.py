"""A function in a forked child: it sees all memory as it was then, while the parent goes on."""

import ctypes
import gc
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress

NICENESS = 10

_PR_SET_PDEATHSIG = 1
_ERROR_BYTES = 2_000
_POLL_SECONDS = 0.01
_STANDARD_FILES = 3


class Forked:
    """Runs `action` in a child of this process, which ends with this thread, however that ends.

    The child has this thread alone and none of the open files: `action` must not wait for another
    thread, nor use a file, socket or database that is open now. What it changes in memory is lost.
    Memory is shared until one of both writes to it.
    """

    def __init__(self, action: Callable[[], object]) -> None:
        """Raises OSError when the system has no room for another process."""
        self._error, writing = os.pipe()
        parent = os.getpid()
        try:
            with warnings.catch_warnings():
                # Other threads are not there in the child, and `action` does not need them.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._child = os.fork()
        except OSError:
            os.close(self._error)
            os.close(writing)
            raise
        if not self._child:
            _be_the_child(action, parent, writing)
        os.close(writing)
        self._status: int | None = None

    def ended(self) -> bool:
        """Whether the child has ended; does not block."""
        if self._status is None:
            child, status = os.waitpid(self._child, os.WNOHANG)
            if child:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None

    def join(self) -> None:
        """Block until the child has ended. Raises ChildProcessError with why, if it failed."""
        while not self.ended():
            time.sleep(_POLL_SECONDS)
        with os.fdopen(self._error, "rb") as file:
            error = file.read().decode(errors="replace")
        if self._status:
            raise ChildProcessError(error or f"the child process ended with status {self._status}")

    def kill(self) -> None:
        """End the child, whatever it is at."""
        if not self.ended():
            os.kill(self._child, signal.SIGKILL)
        with suppress(ChildProcessError):
            self.join()


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the thread of `parent` that made it ends.

    Only Linux does.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def _be_the_child(action: Callable[[], object], parent: int, error: int) -> None:
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        die_with(parent)
        gc.disable()  # it would touch, and so copy, every object
        os.nice(NICENESS)
        error = _close_all_but(error)
        action()
    except BaseException as raised:  # noqa: BLE001  nothing of it may get out of the child
        os.write(error, f"{type(raised).__name__}: {raised}".encode()[:_ERROR_BYTES])
        os._exit(1)
    os._exit(0)


def _close_all_but(file: int) -> int:
    """Close what the parent had open, its locks among it; `file` is open under the number given."""
    if file != _STANDARD_FILES:
        os.dup2(file, _STANDARD_FILES)
    os.closerange(_STANDARD_FILES + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return _STANDARD_FILES
