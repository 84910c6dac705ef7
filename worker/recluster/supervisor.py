"""Starts a run as a child process and watches it without ever blocking.

A process that had a small collection lingers, and takes the next run if one comes soon.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

import structlog

from worker.clock import Clock, SystemClock
from worker.recluster.folder import ERRORS, OUTPUT
from worker.recluster.way import stands

# How long a process waits for the next run, and how long it is still asked for one: it must not be
# about to end then.
_LINGER_SECONDS = 60.0
_ASKED_SECONDS = 45.0
_TAIL_BYTES = 2_000
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """The run goes on: `progress` (0..1) of `stage`; the stage is "start" until one is known."""

    stage: str
    progress: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The run ended well; `read_result(result)` reads what it found."""

    result: Path


@dataclass(frozen=True, slots=True)
class Failed:
    """The run ended without a result."""

    reason: str


@dataclass(slots=True)
class _Run:
    """A child in progress. Its output goes to files of the view, so that no pipe can fill."""

    process: subprocess.Popen[bytes]
    view: Path
    result: Path
    output: BinaryIO
    started: float
    line: bytes = b""
    state: Running = field(default=Running("start", 0.0))
    error: str | None = None
    done: bool = False
    stood: bool = False
    turned: float = 0.0  # when it last stopped or went on

    def read(self) -> None:
        """Take in the lines that were completed since the last time."""
        *lines, self.line = (self.line + self.output.read()).split(b"\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return  # a library printed something
        if not isinstance(said, dict):
            return
        if "error" in said:
            self.error = str(said["error"])
        elif "done" in said:
            self.done = True
        elif "stage" in said:
            self.state = Running(str(said["stage"]), float(said.get("progress", 0.0)))


@dataclass(frozen=True, slots=True)
class _Idle:
    """A child that waits for another run, since when."""

    process: subprocess.Popen[bytes]
    since: float

    def take(self, view: Path, result: Path) -> bool:
        """Give it a run; False where it has ended."""
        pipe = self.process.stdin
        if pipe is None or self.process.poll() is not None:
            return False
        try:
            pipe.write(json.dumps([str(view), str(result)]).encode() + b"\n")
            pipe.flush()
        except OSError:
            return False
        return True


class Runner(Protocol):
    """Runs one reclustering at a time, beside its caller. See `Supervisor`."""

    def start(self, view: Path, result: Path) -> None:
        """Start a run over the folder `view`, to write the folder `result`; does not wait."""

    def poll(self) -> Running | Finished | Failed | None:
        """How the run stands; never blocks. Its end is told once, then None until the next."""

    def cancel(self) -> None:
        """End the run, if there is one, at once."""

    def give_way(self, *, behind: bool) -> None:
        """Let the run, if there is one, stand still while its caller is `behind`, for a while."""


class Supervisor:
    """At most one child at a time; call from one thread, which must outlive the child."""

    def __init__(
        self,
        time_limit_seconds: float,
        *,
        python: str = sys.executable,
        module: str = "worker.recluster.child",
        clock: Clock | None = None,
    ) -> None:
        """`module` is run with `python -m`; anything that calls `child.main` will do."""
        self._limit = time_limit_seconds
        self._command = (python, "-m", module)
        self._clock = clock or SystemClock()
        self._run: _Run | None = None
        self._idle: _Idle | None = None
        self._refused: Failed | None = None

    @property
    def running(self) -> bool:
        """True from `start` until `poll` has told the end, or `cancel`."""
        return self._run is not None or self._refused is not None

    def start(self, view: Path, result: Path) -> None:
        """Start a run over the folder `view`, to write the folder `result`.

        Does not wait for anything. A child that cannot be started is told by `poll`. Raises
        `RuntimeError` while another run goes on.
        """
        if self.running:
            raise RuntimeError("a run is in progress")
        try:
            process = self._process(view, result)
        except OSError as error:
            self._refused = Failed(f"cannot start: {error}")
            return
        output = (view / OUTPUT).open("rb")
        self._run = _Run(process, view, result, output, self._clock.monotonic())

    def _process(self, view: Path, result: Path) -> subprocess.Popen[bytes]:
        """The one that lingers, or a new one, with the run."""
        idle, self._idle = self._idle, None
        with (view / OUTPUT).open("wb") as out, (view / ERRORS).open("wb") as err:
            if idle is not None:
                recent = self._clock.monotonic() - idle.since < _ASKED_SECONDS
                if recent and idle.take(view, result):
                    return idle.process
                _end(idle.process)
            options = ["--parent", str(os.getpid()), "--linger", str(_LINGER_SECONDS)]
            return subprocess.Popen(
                [*self._command, str(view), str(result), *options],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                env=_environment(),
                # A group, so that an interrupt typed at the terminal is the parent's; no new
                # session, beyond which Linux does not compare how nice processes are.
                process_group=0,
            )

    def poll(self) -> Running | Finished | Failed | None:
        """How the run stands; never blocks. Its end is told once, then None until the next."""
        if self._refused is not None:
            refused, self._refused = self._refused, None
            return self._told(refused)
        return None if self._run is None else self._look_at(self._run)

    def _look_at(self, run: _Run) -> Running | Finished | Failed:
        status = run.process.poll()
        run.read()
        if run.done:
            run.process.send_signal(signal.SIGCONT)  # it may have been stopped after its last word
            self._idle = _Idle(run.process, self._clock.monotonic())
            self._forget(run)
            return Finished(run.result)
        if status is None and self._clock.monotonic() - run.started <= self._limit:
            return run.state
        if status is None:
            self.cancel()
            return self._told(
                Failed(f"stopped in stage {run.state.stage}: over {self._limit:g} s"), run
            )
        _end(run.process)
        self._forget(run)
        if status == 0:
            return Finished(run.result)
        return self._told(Failed(run.error or _cause(status, run.state.stage)), run)

    def give_way(self, *, behind: bool) -> None:
        """Let the run, if there is one, stand still while its caller is `behind`.

        It goes on for a fifth of the time all the same. To be called often.
        """
        run = self._run
        if run is None:
            return
        now = self._clock.monotonic()
        stood = stands(stood=run.stood, seconds=now - run.turned, behind=behind)
        if stood != run.stood:
            run.stood, run.turned = stood, now
            run.process.send_signal(signal.SIGSTOP if stood else signal.SIGCONT)

    def cancel(self) -> None:
        """End the run, if there is one, at once; what it had is lost. Waits for its death.

        A process that lingers ends as well.
        """
        if self._run is not None:
            _end(self._run.process)
            self._forget(self._run)
        if self._idle is not None:
            _end(self._idle.process)
            self._idle = None
        self._refused = None

    def _forget(self, run: _Run) -> None:
        run.output.close()
        self._run = None

    def _told(self, failed: Failed, run: _Run | None = None) -> Failed:
        tail = _tail(run.view / ERRORS) if run else ""
        _log.error("reclustering failed", reason=failed.reason, stderr=tail)
        return failed


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it if it lives, and leave nothing of it."""
    process.kill()
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):  # what it did not read is still in the buffer
            process.stdin.close()


def _environment() -> dict[str, str]:
    """Ours, with numpy's threads bounded so that one core stays with the ingest loop."""
    threads = str(max(1, len(os.sched_getaffinity(0)) - 1))
    return dict.fromkeys(_THREAD_VARIABLES, threads) | dict(os.environ)


def _cause(status: int, stage: str) -> str:
    if status >= 0:
        return f"ended with status {status} in stage {stage}"
    name = signal.Signals(-status).name
    hint = ", most likely for want of memory" if name == "SIGKILL" else ""
    return f"killed by {name} in stage {stage}{hint}"


def _tail(file: Path) -> str:
    try:
        return file.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
    except OSError:
        return ""
