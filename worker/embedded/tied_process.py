"""A child process that dies with its parent, however the parent dies."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

# The shell prints the child's process id, then a watcher reads standard input, whose other end
# only the parent holds: its end of file means that the parent is gone.
_SHELL = """
exec 3<&0
"$@" </dev/null >&2 3<&- &
child=$!
echo $child
(cat <&3 >/dev/null; kill -9 $child) 2>/dev/null &
watcher=$!
wait $child
status=$?
kill $watcher 2>/dev/null
exit $status
"""


class TiedProcess:
    """Runs `command` with its output appended to the file `log`."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        with log.open("ab") as output:
            self._shell = subprocess.Popen(
                ["sh", "-c", _SHELL, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,  # an interrupt at the terminal is for the parent alone
            )
        self._pipes = [pipe for pipe in (self._shell.stdin, self._shell.stdout) if pipe]
        self.pid = int(self._pipes[-1].readline())

    @property
    def exit_code(self) -> int | None:
        """The exit status (128 + signal where one killed it), None while it runs."""
        return self._shell.poll()

    def stop(self, timeout_seconds: float = 20.0) -> None:
        """Ask it to end, wait, and kill it if it does not."""
        self._signal(signal.SIGTERM)
        try:
            self._shell.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
        self._close()

    def kill(self) -> None:
        """End it at once, as a power cut would, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self._close()

    def _signal(self, number: signal.Signals) -> None:
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _close(self) -> None:
        self._shell.wait()
        for pipe in self._pipes:
            pipe.close()
