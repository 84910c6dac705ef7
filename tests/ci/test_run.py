"""What CI runs, with a `make` that only says what it was asked for."""

import os
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / ".ci" / "run"

MAKE = """#!/bin/sh
echo "$@" $(env | grep -o "^SHOAL_WITHOUT_[A-Z]*" | sort)
[ "$1" != "$LACKING" ]
"""


@pytest.mark.parametrize(
    ("lacking", "flags"),
    [
        ("", ""),
        ("tools", " SHOAL_WITHOUT_HELM"),
        ("prometheus", " SHOAL_WITHOUT_PROMETHEUS"),
        ("redis", " SHOAL_WITHOUT_REDIS"),
    ],
)
def test_only_the_tests_of_what_is_lacking_may_be_skipped(tmp_path, lacking, flags):
    """What can be had is had, and its tests have to run."""
    make = tmp_path / "make"
    make.write_text(MAKE)
    make.chmod(0o755)
    kept = {n: v for n, v in os.environ.items() if not n.startswith("SHOAL_")}
    environment = kept | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LACKING": lacking}
    done = subprocess.run([RUN], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    asked = done.stdout.splitlines()
    assert [line.split()[0] for line in asked] == ["check", "tools", "prometheus", "redis", "test"]
    assert asked[-1] == f"test{flags}"
