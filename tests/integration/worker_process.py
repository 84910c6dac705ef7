"""`shoal worker` as a process of its own, as a person or Kubernetes runs it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from forked import Forked
from prometheus_client.parser import text_string_to_metric_families

HERE = Path(__file__).parent
PLAIN = (str(HERE / "plain_shoal.py"),)  # forked
REAL = ("-m", "worker")

# Compiled once for all: a start then takes a second.
_BYTECODE = Path(tempfile.gettempdir()) / f"shoal-tests-bytecode-{os.getuid()}"

_READY_SECONDS = 90.0
_END_SECONDS = 90.0


def environment(settings):
    """This process's environment with these settings and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    plain = {name: value for name, value in settings.items() if name.isupper()}
    ours = {f"SHOAL_{n.upper()}": str(v) for n, v in settings.items() if not n.isupper()}
    cache = {"SHOAL_KAFKA_HOME": os.environ.get("SHOAL_KAFKA_HOME", "")}
    path = f"{HERE}{os.pathsep}{HERE.parents[1]}"  # the checkout that is tested, first of all
    fast = {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(_BYTECODE)}
    return kept | {n: v for n, v in cache.items() if v} | fast | ours | plain


def eventually(condition, seconds=30.0, what=None):
    """Wait until `condition()` is true, and return it; fail loudly after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not within {seconds} s: {what or condition.__doc__ or condition}"
            )
        time.sleep(0.05)
    return found


def run_python(folder, settings, script, text):
    """Run a script of this folder to its end; what it printed, and its exit status."""
    return subprocess.run(
        [sys.executable, str(HERE / script)],
        input=text,
        capture_output=True,
        check=False,
        timeout=_END_SECONDS,
        text=True,
        env=environment(settings),
        cwd=folder,
    )


def run_shoal(folder, settings, arguments, text=""):
    """Run a command of the plain `shoal` to its end; what it printed, and its exit status."""
    with tempfile.TemporaryDirectory(dir=folder) as kept:
        files = [Path(kept) / name for name in ("input", "output", "errors")]
        files[0].write_text(text)
        command = Forked(*PLAIN, arguments, environment(settings), folder, files)
        try:
            status = command.wait(_END_SECONDS)
        finally:
            command.kill()
        output, errors = (file.read_text() for file in files[1:])
    return subprocess.CompletedProcess(arguments, status, output, errors)


class WorkerProcess:
    """A started worker. `settings` in lower case are Shoal's, in upper case plain variables."""

    def __init__(self, folder, settings, program=PLAIN):
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob("worker-*.log")))
        self.log = folder / f"worker-{number}.log"
        self._port_file = folder / f"worker-{number}.port"
        self.log.touch()
        self._process = self._start(program, environment(settings))
        self.pid = self._process.pid

    def _start(self, program, variables):
        arguments = ["worker", "--port-file", str(self._port_file)]
        if program == PLAIN and "LD_PRELOAD" not in variables:
            files = (os.devnull, self.log, self.log)
            return Forked(*program, arguments, variables, self.log.parent, files)
        with self.log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, *program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=variables,
                cwd=self.log.parent,
            )

    @property
    def exit_code(self):
        """The exit status, None while it runs."""
        return self._process.poll()

    @property
    def address(self):
        """Where its pages are, host:port; empty until it listens."""
        return self._port_file.read_text() if self._port_file.exists() else ""

    def ready(self):
        """Wait until it has replayed and serves; returns itself."""

        def serves():
            self._fail_if_ended()
            return self._port_file.exists() and self.ask("/readyz")[0] == 200

        eventually(serves, _READY_SECONDS, f"ready\n{self.text()}")
        return self

    def ask(self, path):
        """Status and text of one of its pages; status 0 while nothing listens."""
        if not self.address:
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name, **labels):
        """The value of one sample of /metrics, None if it is not there."""
        _, text = self.ask("/metrics")
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None

    def wait(self, seconds=_END_SECONDS):
        """Wait for its end; the exit status."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {seconds} s\n{self.text()}") from None

    def stop(self):
        """Ask it to end, as Kubernetes does, and wait; the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        """End it at once, whatever it does."""
        if self.exit_code is None:
            self._process.kill()
        self._process.wait()

    def signal(self, number):
        """Send it a signal."""
        self._process.send_signal(number)

    def text(self):
        """What it logged."""
        return self.log.read_text(errors="replace")

    def _fail_if_ended(self):
        if self.exit_code is not None:
            raise AssertionError(f"ended with status {self.exit_code}\n{self.text()}")
