"""The label arrays of the last runs, for identity, drift and rollback."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from worker.errors import CorruptError
from worker.recluster.folder import (
    ASIDE,
    read_folder,
    remove_folder,
    scrub_folder,
    write_folder,
)

KEEP = 5
NO_CLUSTER = -1
_DIGITS = 12
_ARRAYS = {"labels", "confidence"}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Generation:
    """One run's published result: final cluster numbers int32 [n] (-1: dead), confidence [n]."""

    number: int
    labels: NDArray[np.int32]
    confidence: NDArray[np.float32]
    meta: Mapping[str, Any]


def save(
    directory: Path,
    generation: int,
    labels: NDArray[np.int32],
    confidence: NDArray[np.float32],
    meta: Mapping[str, Any],
    *,
    keep: int = KEEP,
) -> None:
    """Keep a generation durably under `directory`/generations, and only the newest `keep`.

    Replaces one of the same number, and clears away what a write that was cut short left.
    `meta` is anything JSON can hold. Blocks. Raises `OSError`.
    """
    arrays = {"labels": labels, "confidence": confidence}
    for remains in (directory / "generations").glob(f"{ASIDE}*"):
        shutil.rmtree(remains)
    meta = {"generation": generation, **meta}
    write_folder(path_of(directory, generation), arrays, meta, durable=True)
    for number in numbers(directory)[keep:]:
        remove_folder(path_of(directory, number))


def forget(directory: Path, dead: NDArray[np.bool_]) -> None:
    """Take rows that are `dead`, bool [rows], out of every generation; a damaged one is removed.

    Blocks. A process that dies meanwhile may leave one generation less. Raises `OSError`.
    """
    for number in numbers(directory):
        try:
            kept = load(directory, number)
        except CorruptError as error:
            _log.warning("former generation removed", generation=number, reason=str(error))
            remove_folder(path_of(directory, number))
            continue
        labels, confidence = kept.labels.copy(), kept.confidence.copy()
        gone = dead[: len(labels)]
        labels[gone], confidence[gone] = NO_CLUSTER, 0.0
        if not np.array_equal(labels, kept.labels):
            save(directory, number, labels, confidence, kept.meta)


def renumber(source: Path, target: Path, pairs: NDArray[np.int64], rows: int) -> None:
    """Keep the generations of the folder `source` in `target` as well, where rows have other
    numbers: `pairs` int64 [m, 2] are those here and there, of `rows` there. Raises as `forget`.
    """
    for kept in reversed(list(_readable(source))):
        known = pairs[pairs[:, 0] < len(kept.labels)]
        labels, confidence = np.full(rows, NO_CLUSTER, np.int32), np.zeros(rows, np.float32)
        labels[known[:, 1]] = kept.labels[known[:, 0]]
        confidence[known[:, 1]] = kept.confidence[known[:, 0]]
        save(target, kept.number, labels, confidence, kept.meta)


def load(directory: Path, generation: int) -> Generation:
    """Read one generation. Raises `CorruptError` naming the file, also if it is not there."""
    folder = read_folder(path_of(directory, generation))
    arrays = folder.arrays
    if not arrays.keys() >= _ARRAYS:
        raise CorruptError(f"{path_of(directory, generation)}: it has only {sorted(arrays)}")
    meta = dict(folder.meta)
    # Generations of an earlier version do not say which they are.
    found = meta.pop("generation", generation)
    if found != generation:
        raise CorruptError(f"{path_of(directory, generation)}: it holds generation {found}")
    return Generation(generation, arrays["labels"], arrays["confidence"], meta)


def scrub(directory: Path, generation: int) -> Iterator[int]:
    """Read a generation again; yields the bytes of each slice. Raises as `load`, and OSError."""
    yield from scrub_folder(path_of(directory, generation))


def numbers(directory: Path) -> list[int]:
    """The generations that are kept, newest first."""
    found = (directory / "generations").glob("[0-9]" * _DIGITS)
    return sorted((int(path.name) for path in found), reverse=True)


def newest(directory: Path, count: int) -> list[Generation]:
    """Up to `count` generations that can be read, newest first; a damaged one is logged."""
    found = _readable(directory)
    return [generation for generation, _ in zip(found, range(count), strict=False)]


def _readable(directory: Path) -> Iterator[Generation]:
    for number in numbers(directory):
        try:
            yield load(directory, number)
        except CorruptError as error:
            _log.warning("former generation left out", generation=number, reason=str(error))


def path_of(directory: Path, generation: int) -> Path:
    """The folder of a generation."""
    return directory / "generations" / f"{generation:0{_DIGITS}}"
