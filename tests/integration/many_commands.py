"""Runs many command lines of `shoal` in one process, so that torch is imported once.

Reads a JSON list of argument lists, prints a JSON list of [exit status, output, errors].
"""

import contextlib
import io
import json
import sys
import traceback

from worker import compose
from worker.cli import main
from worker.recluster.child import hilander
from worker.testing import InlineRunner

compose.Supervisor = lambda _seconds: InlineRunner(hilander)


def run(arguments):
    """Run one command line as the shell would."""
    output, errors = io.StringIO(), io.StringIO()
    status = 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        sys.argv = ["shoal", *arguments]
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
        except Exception:  # noqa: BLE001  the shell would show it
            traceback.print_exc()
            status = 1
    return [status, output.getvalue(), errors.getvalue()]


if __name__ == "__main__":
    json.dump([run(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
