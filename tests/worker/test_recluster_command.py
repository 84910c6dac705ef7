import subprocess
import sys

import pytest

from worker import cli


@pytest.fixture
def recluster(bench, axis, monkeypatch, capsys):
    """Runs `shoal recluster` on a collection where neither worker nor Redis run: status, words."""
    for number in range(60):
        bench.send(f"image-{number}", axis(number % 8, tilt=number / 60))
    bench.run()
    capsys.readouterr()

    def run(*options):
        options = ("--data-dir", str(bench.path), "--redis-url", "redis://127.0.0.1:1", *options)
        monkeypatch.setattr(sys, "argv", ["shoal", "recluster", *options])
        try:
            cli.main()
        except SystemExit as ended:
            return ended.code, capsys.readouterr()
        return 0, capsys.readouterr()

    return run


def test_a_dry_run_that_fails(recluster):
    """Trying again would not help, so the status is 1, and the last line is the reason."""
    status, said = recluster("--dry-run", "--recluster-timeout-seconds", "0.001")
    assert status == 1
    last = said.err.splitlines()[-1]
    assert last.startswith("shoal: collection 'main': the run failed: stopped in stage start")


def test_no_stand_ins():
    """No command works on the parts that are there for tests."""
    script = (
        "import sys; from importlib import import_module; from worker.cli import COMMANDS\n"
        "for name in COMMANDS: import_module('worker.commands.' + name.replace('-', '_'))\n"
        "print([name for name in sys.modules if name.startswith('worker.testing')])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"
