"""From what is on the disk to an index that serves: snapshot, then the log after it."""

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from index import snapshot
from index.catalog import Catalog
from index.errors import SnapshotError
from index.live import LiveIndex
from index.snapshot import Snapshots

logger = logging.getLogger(__name__)

# Rows inserted at a time.
REPLAY_ROWS = 1_000

Progress = Callable[[int, int], None]


def load_newest(
    snapshots: Snapshots, catalog: Catalog, rows: int, new: Callable[[], LiveIndex]
) -> tuple[LiveIndex, int]:
    """The newest snapshot that passes every check, or an empty index, and the rows it covers.

    `rows` is the length of the log. Each snapshot passed over is logged with the reason.
    """
    for path in snapshots.newest_first():
        live = new()
        try:
            manifest = snapshots.manifest(path)
            snapshot.check_log(manifest, rows, lambda row: catalog.hashes(row, row + 1)[0])
            snapshot.load(path, manifest, live)
        except SnapshotError as error:
            logger.warning("snapshot passed over: %s", error)
            snapshots.refuse(path)
            continue
        return live, manifest.rows
    return new(), 0


def replay(
    live: LiveIndex,
    vectors: NDArray[np.float32],
    counts: NDArray[np.int32],
    progress: Progress | None,
) -> None:
    """Bring a loaded snapshot up to the log: insert what is new, remove what died."""
    live.resize(len(counts))
    missing = np.flatnonzero((counts > 0) & ~live.present)
    for start in range(0, len(missing), REPLAY_ROWS):
        live.insert(vectors, missing[start : start + REPLAY_ROWS])
        if progress:
            progress(min(start + REPLAY_ROWS, len(missing)), len(missing))
    live.remove(vectors, np.flatnonzero((counts == 0) & live.present))
