"""What is wrong in a data directory: named, and how bad it is."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Harm(StrEnum):
    """NONE: left by a kill, the next start clears it. SPARE: the next start does without it.
    DATA: something that cannot be made again is damaged, and a start refuses it.
    """

    NONE = "none"
    SPARE = "spare"
    DATA = "data"


class Part(StrEnum):
    """What a finding is about."""

    LOG = "log"
    CATALOG = "catalog"
    REFERENCES = "references"
    SNAPSHOT = "snapshot"
    GRAPH = "graph"
    GENERATION = "generation"
    RUN = "run"
    POSITIONS = "positions"
    HOLDER = "holder"
    BACKUP = "backup"
    REQUEST = "request"
    LETTERS = "letters"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with `part`, in words that name the file."""

    part: Part
    harm: Harm
    path: Path
    what: str


# Told what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody hears of."""
    del what, done, total
