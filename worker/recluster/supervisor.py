"""Starts a run as a child process and watches it without ever blocking."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

import structlog

from worker.clock import Clock, SystemClock

_OUTPUT = "stdout"
_ERRORS = "stderr"
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
        elif "stage" in said:
            self.state = Running(str(said["stage"]), float(said.get("progress", 0.0)))


class Runner(Protocol):
    """Runs one reclustering at a time, beside its caller. See `Supervisor`."""

    def start(self, view: Path, result: Path) -> None:
        """Start a run over the folder `view`, to write the folder `result`; does not wait."""

    def poll(self) -> Running | Finished | Failed | None:
        """How the run stands; never blocks. Its end is told once, then None until the next."""

    def cancel(self) -> None:
        """End the run, if there is one, at once."""


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
            with (view / _OUTPUT).open("wb") as out, (view / _ERRORS).open("wb") as err:
                process = subprocess.Popen(
                    [*self._command, str(view), str(result), "--parent", str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env=_environment(),
                    # A group, so that an interrupt typed at the terminal is the parent's; no new
                    # session, beyond which Linux does not compare how nice processes are.
                    process_group=0,
                )
        except OSError as error:
            self._refused = Failed(f"cannot start: {error}")
            return
        output = (view / _OUTPUT).open("rb")
        self._run = _Run(process, view, result, output, self._clock.monotonic())

    def poll(self) -> Running | Finished | Failed | None:
        """How the run stands; never blocks. Its end is told once, then None until the next."""
        if self._refused is not None:
            refused, self._refused = self._refused, None
            return self._told(refused)
        run = self._run
        if run is None:
            return None
        status = run.process.poll()
        run.read()
        if status is None and self._clock.monotonic() - run.started <= self._limit:
            return run.state
        if status is None:
            self.cancel()
            return self._told(
                Failed(f"stopped in stage {run.state.stage}: over {self._limit:g} s"), run
            )
        self._forget(run)
        if status == 0:
            return Finished(run.result)
        return self._told(Failed(run.error or _cause(status, run.state.stage)), run)

    def cancel(self) -> None:
        """End the run, if there is one, at once; what it had is lost. Waits for its death."""
        if self._run is not None:
            self._run.process.kill()
            self._run.process.wait()
            self._forget(self._run)
        self._refused = None

    def _forget(self, run: _Run) -> None:
        run.output.close()
        self._run = None

    def _told(self, failed: Failed, run: _Run | None = None) -> Failed:
        tail = _tail(run.view / _ERRORS) if run else ""
        _log.error("reclustering failed", reason=failed.reason, stderr=tail)
        return failed


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
