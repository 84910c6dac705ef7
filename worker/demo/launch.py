"""Starts and stops the demo's host process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from worker.demo.host import ADDRESSES, PROGRESS, Addresses
from worker.errors import RetryError

_POLL_SECONDS = 0.2
_STOP_SECONDS = 90.0


class Host:
    """The servers of the demo. With `keep` they outlive this process."""

    def __init__(self, directory: Path, source: str, *, keep: bool) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ADDRESSES).unlink(missing_ok=True)
        command = [sys.executable, "-m", "worker.demo.host", str(directory), source]
        if not keep:
            command += ["--parent", str(os.getpid())]
        with (directory / "host.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self, tell: Callable[[str], None]) -> Addresses:
        """Block until all serve; `tell` hears what is being done. Raises `RetryError`."""
        path = self._directory / ADDRESSES
        while not path.exists():
            if self._process.poll() is not None:
                log = (self._directory / "host.log").read_text(errors="replace").strip()
                raise RetryError(f"the demo's servers did not start: {log[-800:]}")
            progress = self._directory / PROGRESS
            if progress.exists():
                tell(progress.read_text())
            time.sleep(_POLL_SECONDS)
        return Addresses(**json.loads(path.read_text()))

    def check(self) -> None:
        """Raise `RetryError` if a server died."""
        if self._process.poll() is not None:
            raise RetryError(f"the demo's servers ended; see the logs in {self._directory}")

    def stop(self) -> None:
        """End all servers and wait until they are gone."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def stop_kept(directory: Path) -> bool:
    """End the servers that an earlier demo left running in `directory`; False if none are."""
    path = directory / ADDRESSES
    if not path.exists():
        return False
    pid = Addresses(**json.loads(path.read_text())).host_pid
    if not _is_host(pid):
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _is_host(pid) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return True


def _is_host(pid: int) -> bool:
    """Whether process `pid` is a demo's host, and not another that got its number."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[-1].split()[0]
    except OSError:
        return False
    return b"worker.demo.host" in command and state != "Z"
