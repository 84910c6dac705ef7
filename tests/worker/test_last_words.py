"""What is on standard error when something ends a process."""

import json
import subprocess
import sys

import pytest

START = """
import threading, warnings
from worker import last_words, logs
logs.configure("json", "error")
last_words.go_to_log()
"""

ENDS = {
    "ended by a defect": "raise KeyError('lost')",
    "a thread ended by a defect": (
        "def fail(): raise KeyError('lost')\n"
        "thread = threading.Thread(target=fail, name='worker')\n"
        "thread.start(); thread.join()"
    ),
}


def lines(script):
    """What a process that runs the script leaves, each line read as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", START + script], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize("event", ENDS)
def test_a_traceback_is_a_line(event):
    """It stands in one line of JSON, whichever thread it is of."""
    [line] = lines(ENDS[event])
    assert (line["event"], line["level"]) == (event, "critical")
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("KeyError: 'lost'")


def test_a_warning_is_a_line():
    """Those of libraries, too."""
    [line] = lines("logs.configure('json', 'warning'); warnings.warn('soon gone')")
    assert "soon gone" in line["event"]
