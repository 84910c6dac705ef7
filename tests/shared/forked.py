"""Python programs that are forked from a process that has imported Shoal, so that none of many
starts takes a second of imports.
"""

import importlib
import multiprocessing
import os
import runpy
import subprocess
import sys
from functools import cache
from multiprocessing import forkserver
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_IMPORTS = [
    "forked",
    "worker.commands.erase",
    "worker.commands.verify_erased",
    "worker.commands.worker",
    "worker.compose",
    "worker.dead_letters.kafka",
    "worker.edges",
    "worker.sources.kafka_source",
    "worker.store.redis_store",
]
_PATH = list(sys.path)


class Forked:
    """A program that was started; what it has in common with `subprocess.Popen`."""

    def __init__(self, program, arguments, environment, folder, files):
        """Start the file `program`; `files` are paths for its input, output and errors."""
        _start_server(environment["PYTHONPATH"])
        told = (str(program), arguments, environment, str(folder), [str(file) for file in files])
        self._process = _CONTEXT.Process(target=_run, args=told, daemon=True)
        self._process.start()
        self.pid = self._process.pid

    def poll(self):
        """The exit status, None while it runs."""
        return self._process.exitcode

    def wait(self, timeout=None):
        """Wait for its end; the exit status."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("forked", timeout)
        return self._process.exitcode

    def kill(self):
        """End it at once."""
        self._process.kill()

    def send_signal(self, number):
        """Send it a signal."""
        if self.poll() is None:
            os.kill(self.pid, number)


@cache
def _start_server(path):
    """Start what is forked; numpy reads how many threads it may have when it is imported."""
    there = f"{Path(__file__).parent}{os.pathsep}{path}"
    before = dict(os.environ)
    os.environ.update(PYTHONPATH=there, OMP_NUM_THREADS="1")
    try:
        forkserver.set_forkserver_preload(_IMPORTS)
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(program, arguments, environment, folder, files):
    """In the forked process: what a new interpreter would do with `program`."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, (file, mode) in enumerate(zip(files, "raa", strict=True)):
        with Path(file).open(mode) as opened:
            os.dup2(opened.fileno(), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.path[:] = _PATH
    sys.argv = [program, *arguments]
    importlib.reload(sys.modules["index.faults"])  # it reads the environment when it is imported
    try:
        runpy.run_path(program, run_name="__main__")
    except Exception:  # noqa: BLE001  as an interpreter ends
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
