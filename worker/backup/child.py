"""The process that takes one backup beside a worker: if it fails, its last line says why."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from index import die_with
from worker.backup.take import back_up, worker_target
from worker.errors import ShoalError

NICENESS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Take it; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("url")
    parser.add_argument("--ordinal", type=int, required=True)
    parser.add_argument("--keep", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    given = parser.parse_args(arguments)
    die_with(given.parent)
    os.nice(NICENESS)
    try:
        back_up(given.data_dir, worker_target(given.url, given.ordinal), given.keep)
    except (OSError, ShoalError) as error:
        print(str(error).replace("\n", " "), file=sys.stderr)  # noqa: T201  the worker reads it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
