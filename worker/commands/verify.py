"""`shoal verify`: whether a data directory is what was written to it."""

import json as jsonlib
import sys
import time
from typing import Annotated

import typer

from index.findings import Finding, Harm
from worker.lock import DirectoryLock
from worker.options import with_settings
from worker.settings import Settings
from worker.verify import Verified
from worker.verify import verify as verify_directory

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[
    str | None,
    typer.Option("--collection", help="Only this collection; default: all.", metavar="NAME"),
]

# Exit statuses: a start makes up for the damage; a start refuses it, as CorruptError.
SPARE_STATUS = 1
DATA_STATUS = 7

_SECONDS_BETWEEN_WORDS = 2.0


@with_settings(only=("data_dir",))
def verify(settings: Settings, only: Name = None, json: AsJson = False) -> None:
    """Check every byte of a data directory on which no worker runs; change nothing.

    Exit status 0: whole. 1: only what can be made again is damaged. 7: `shoal repair` is needed.
    """
    with DirectoryLock(settings.data_dir):
        verified = verify_directory(settings.data_dir, only, Told())
    if json:
        print(as_json(verified))
    else:
        print_findings(verified)
    leave(verified.harm)


class Told:
    """Tells on standard error what goes on, now and then, when it takes long."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _SECONDS_BETWEEN_WORDS

    def __call__(self, what: str, done: int, total: int) -> None:
        """`done` of `total` of `what`."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SECONDS_BETWEEN_WORDS
            print(f"{what}: {done:,} of {total:,}", file=sys.stderr)


def as_json(verified: Verified) -> str:
    """One object on one line."""
    return jsonlib.dumps(
        {
            "harm": verified.harm,
            "collections": {
                name: [_fields(finding) for finding in found]
                for name, found in verified.collections.items()
            },
            "directory": [_fields(finding) for finding in verified.directory],
        }
    )


def print_findings(verified: Verified) -> None:
    """A line for each collection, and one for each thing that is wrong with it."""
    for name, found in (*verified.collections.items(), ("", verified.directory)):
        harmful = [finding for finding in found if finding.harm is not Harm.NONE]
        if name:
            print(f"{name}: {f'{len(harmful)} findings' if harmful else 'whole'}")
        for finding in found:
            print(f"  {finding.part} ({_HARMS[finding.harm]}): {finding.path}: {_what(finding)}")
    if verified.harm is Harm.DATA:
        print("shoal repair mends what can be mended, and says what is lost")


def leave(harm: Harm) -> None:
    """End the command with the status for `harm`."""
    if harm is not Harm.NONE:
        raise typer.Exit(DATA_STATUS if harm is Harm.DATA else SPARE_STATUS)


_HARMS = {
    Harm.NONE: "cleared by the next start",
    Harm.SPARE: "the next start does without it",
    Harm.DATA: "damaged",
}


def _what(finding: Finding) -> str:
    return finding.what.removeprefix(f"{finding.path}: ")


def _fields(finding: Finding) -> dict[str, str]:
    return {
        "part": finding.part,
        "harm": finding.harm,
        "path": str(finding.path),
        "what": _what(finding),
    }
