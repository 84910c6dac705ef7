"""When a backup is due, and the process that takes it beside the worker."""

import os
import subprocess
import sys
from pathlib import Path

import structlog

from index import error_text
from worker.backup.last import FOLDER, Taken, last_taken
from worker.backup.take import clear_remains
from worker.clock import Clock
from worker.metrics import Metrics
from worker.requests import Mailbox, Request
from worker.settings import Settings

log = structlog.get_logger()

# After a failure it is tried again this much later, or after the usual time if that is shorter.
_RETRY_SECONDS = 60.0

_TAIL_BYTES = 2_000
_ERRORS = "errors"


class Backups:
    """Takes backups one at a time, and answers who asks for one; owned by the ingest thread.

    A target that fails costs nothing but the backup: it is counted, logged, told by the status, and
    tried again. `last` is the last good one, `failure` why the newest failed, if it did.
    """

    def __init__(
        self, settings: Settings, mailbox: Mailbox, metrics: Metrics, clock: Clock
    ) -> None:
        self._settings = settings
        self._mailbox = mailbox
        self._metrics = metrics
        self._clock = clock
        self._folder = settings.data_dir / FOLDER
        self._child: subprocess.Popen[bytes] | None = None
        self._asked: list[Request] = []
        self._served: list[Request] = []  # by the one under way
        self._clear_remains()
        self.last = last_taken(settings.data_dir)
        self.failure: str | None = None
        now = clock.time()  # it may have been set back
        self._due = min(self.last.begun, now) + settings.backup_seconds if self.last else now

    @property
    def asked(self) -> list[Request]:
        """The requests that were not answered yet."""
        return [*self._served, *self._asked]

    def ask(self, request: Request) -> None:
        """Take one as soon as possible, and answer when it ended."""
        if self._settings.backup_url is None:
            self._mailbox.answer(request, "failed: the worker has no backup_url")
        else:
            self._asked.append(request)

    def tick(self) -> None:
        """Begin what is due or asked for, and end what has ended; waits for nothing.

        For a worker that serves: from the first call on the metrics say that backups are taken.
        """
        if self._scheduled:
            self._metrics.backup_interval.set(self._settings.backup_seconds)
            self._metrics.last_backup.set(self.last.begun if self.last else 0.0)
        if self._child is not None:
            self._end()
        elif self._remain:
            self._clear_remains()
        elif self._asked or (self._scheduled and self._clock.time() >= self._due):
            self._begin()

    def cancel(self) -> None:
        """End the one under way, at once: it is none. What was asked for stays in the mailbox."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
            self._clear_remains()

    def _clear_remains(self) -> None:
        """What a disk keeps of a backup goes with one of the next ticks."""
        try:
            clear_remains(self._settings.data_dir)
            self._remain = False
        except OSError as error:
            self._remain = True
            log.warning("the remains of a backup stay for now", error=error_text(error))

    @property
    def _scheduled(self) -> bool:
        return self._settings.backup_url is not None and not self._settings.once

    def _begin(self) -> None:
        settings = self._settings
        self._served, self._asked = self._asked, []
        self._due = self._clock.time() + settings.backup_seconds
        command = [sys.executable, "-m", "worker.backup.child", settings.data_dir]
        numbers = {
            "--ordinal": settings.worker_ordinal,
            "--keep": settings.backup_keep,
            "--parent": os.getpid(),
        }
        options = [str(word) for pair in numbers.items() for word in pair]
        try:
            self._folder.mkdir(exist_ok=True)
            with (self._folder / _ERRORS).open("wb") as errors:
                self._child = subprocess.Popen(
                    [*map(str, command), str(settings.backup_url), *options],
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    process_group=0,  # an interrupt typed at the terminal is the worker's
                )
        except OSError as error:
            self._failed(f"cannot start: {error}")

    def _end(self) -> None:
        status = self._child.poll() if self._child is not None else None
        if status is None:
            return
        self._child = None
        self._clear_remains()
        taken = last_taken(self._settings.data_dir) if status == 0 else None
        if taken is not None:
            self._taken(taken)
        else:
            self._failed(_last_line(self._folder / _ERRORS) or f"ended with status {status}")

    def _taken(self, taken: Taken) -> None:
        self.last, self.failure = taken, None
        metrics = self._metrics
        metrics.backups.labels("good").inc()
        metrics.backup_seconds.observe(taken.seconds)
        metrics.backup_sent.inc(taken.sent)
        log.info("backup taken", backup=taken.name, seconds=taken.seconds, sent_bytes=taken.sent)
        self._answer(taken.text())

    def _failed(self, reason: str) -> None:
        self._metrics.backups.labels("failed").inc()
        self._due = self._clock.time() + min(_RETRY_SECONDS, self._settings.backup_seconds)
        if reason != self.failure:
            log.warning("no backup", reason=reason)
        self.failure = reason
        self._answer(f"failed: {reason}")

    def _answer(self, text: str) -> None:
        for request in self._served:
            self._mailbox.answer(request, text)
        self._served = []


def _last_line(file: Path) -> str:
    """What the child said at its end; a driver may have printed before."""
    try:
        said = file.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace")
    except OSError:
        return ""
    return said.strip().rpartition("\n")[2]
