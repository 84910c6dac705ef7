"""Verify snapshots: their files, and HNSW and graph against each other and the log."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index import snapshot
from index.errors import SnapshotError
from index.findings import Finding, Harm, Part, Progress
from index.graph import NO_NEIGHBOUR, NO_SIMILARITY
from index.live import LiveIndex
from index.settings import IndexSettings
from index.snapshot import Facts, Manifest
from index.vectors import map_rows

if TYPE_CHECKING:
    from index.verify import Log

ROWS_TOGETHER = 4_096
# Float32 cosines of the same two vectors, summed in another order, differ by less.
COSINE_TOLERANCE = 1e-4

Vectors = NDArray[np.float32]


def verify_snapshots(
    directory: Path, vectors: Path, log: "Log | None", progress: Progress
) -> Iterator[Finding]:
    """What is wrong with each snapshot; without the log only their files are verified."""
    folder = directory / snapshot.SNAPSHOTS
    if not folder.is_dir():
        return
    found = sorted(path for path in folder.iterdir() if path.is_dir())
    for number, path in enumerate(found):
        progress("snapshots", number, len(found))
        if path.name == snapshot.DAMAGED:
            what = "a snapshot that was found damaged, and is out of use"
            yield Finding(Part.SNAPSHOT, Harm.NONE, path, what)
            continue
        if path.name in {snapshot.UNFINISHED, snapshot.REMOVED}:
            what = "a snapshot that was not written, or not removed, to its end"
            yield Finding(Part.SNAPSHOT, Harm.NONE, path, what)
            continue
        try:
            manifest = snapshot.read_manifest(path)
            live = _load(path, manifest)
            if log is None:
                continue
            _check_log(manifest, log)
        except SnapshotError as error:
            yield Finding(Part.SNAPSHOT, Harm.SPARE, path, str(error))
            continue
        for what in _disagreements(live, vectors, log):
            yield Finding(Part.GRAPH, Harm.SPARE, path, what)
    progress("snapshots", len(found), len(found))


def _load(path: Path, manifest: Manifest) -> LiveIndex:
    facts = manifest.facts
    settings = IndexSettings(k=facts.k, m=facts.m, ef_construction=facts.ef_construction)
    live = LiveIndex(facts.dimension, settings)
    snapshot.load(path, manifest, live)
    return live


def _check_log(manifest: Manifest, log: "Log") -> None:
    facts = manifest.facts
    own = Facts(log.collection, log.dimension, facts.k, facts.m, facts.ef_construction)
    if replace(facts, format=own.format) != own:
        raise SnapshotError(f"written for {facts}, not {own}")
    snapshot.check_log(manifest, len(log.hashes), log.hashes.__getitem__)


def _disagreements(live: LiveIndex, path: Path, log: "Log") -> Iterator[str]:
    """What HNSW, graph and log say differently of the rows that live in all of them."""
    present = live.present
    rows = np.flatnonzero(present & (log.counts[: len(present)] > 0))
    held = np.zeros(len(present), np.bool_)
    held[live.held.labels()] = True
    if (missing := present & ~held).any():
        yield f"HNSW lacks {np.count_nonzero(missing)} rows of the graph"
        return
    size = path.stat().st_size // (4 * log.dimension) if path.exists() else 0
    vectors = map_rows(path, size, log.dimension)
    rows = rows[rows < size]
    other, untrue, unsound = 0, 0, 0
    for start in range(0, len(rows), ROWS_TOGETHER):
        part = rows[start : start + ROWS_TOGETHER]
        other += int((live.held.vectors(part) != vectors[part]).any(axis=1).sum())
        bad, false = _check_lists(live, part, vectors, log.counts)
        unsound, untrue = unsound + bad, untrue + false
    for number, what in (
        (other, "rows have another vector in HNSW than in the log"),
        (unsound, "lists of neighbours are out of order, or name a row that is not there"),
        (untrue, "neighbours have another similarity than their vectors"),
    ):
        if number:
            yield f"{number} {what}"


def _check_lists(
    live: LiveIndex, rows: NDArray[np.int64], vectors: Vectors, counts: NDArray[np.int32]
) -> tuple[int, int]:
    """How many lists are not sound, and how many similarities are not true."""
    neighbours, similarity = live.graph.neighbours[rows], live.graph.similarity[rows]
    listed = neighbours != NO_NEIGHBOUR
    inside = (neighbours >= 0) & (neighbours < len(live.present))
    safe = np.where(inside, neighbours, 0)
    sound = (inside & live.present[safe] & (neighbours != rows[:, None])) | ~listed
    ordered = (similarity[:, :-1] >= similarity[:, 1:]).all(axis=1)
    blank = (similarity[~listed] == NO_SIMILARITY).all()
    place = np.nonzero(listed & inside & (counts[safe] > 0) & (safe < len(vectors)))
    cosine = np.einsum("nd,nd->n", vectors[rows[place[0]]], vectors[neighbours[place]])
    untrue = np.abs(cosine - similarity[place]) > COSINE_TOLERANCE
    unsound = ~(sound.all(axis=1) & ordered)
    return int(unsound.sum()) + (not blank), int(untrue.sum())
