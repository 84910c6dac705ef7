"""M3 and M5: what people and readers know of a collection goes over to its second index.

Numbers of clusters stay what they are, so that all that names one goes as it is. A row of the
second index takes the cluster that most of its images have in the first one.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from index import Shared, compare_images
from worker.assignments import NONE, Labels, Rows
from worker.collection import Collection
from worker.outbox import Outbox
from worker.state import State, write_state

# Tables that go over as they are, and those of what waits for readers.
_WHOLE = ("cluster", "correction", "truth", "question")
_OUTBOXES = ("cluster_outbox", "event_outbox", "outbox")

_HERE = "(SELECT id FROM image)"


@dataclass(frozen=True)
class Seeds:
    """`rows` int64 [m] of the second index, rising, and int64 [m] the row of the first one whose
    cluster each takes. `strays` int64 [s, 2] are the rows, in the first index and the second, of
    images that have another one there than their row's.
    """

    rows: Rows
    sources: Rows
    strays: NDArray[np.int64]


def seeds(shared: NDArray[np.int64], labels: Labels) -> Seeds:
    """From where the rows of the second index take their clusters.

    `shared` int64 [m, 2] as `Shared.rows`; `labels` int32 are the clusters of the rows of the first
    index, -1 for none. Of a row with images of several clusters that which most have counts (ties:
    the older one), and of its images the earliest row in the first index. A pure function.
    """
    pairs = shared[labels[shared[:, 0]] != NONE]
    pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
    cluster = labels[pairs[:, 0]].astype(np.int64)
    keys = pairs[:, 1] * (int(cluster.max(initial=0)) + 1) + cluster
    _, earliest, images = np.unique(keys, return_index=True, return_counts=True)
    candidates = pairs[earliest]
    order = np.lexsort((cluster[earliest], -images, candidates[:, 1]))
    rows, chosen = np.unique(candidates[order, 1], return_index=True)
    sources = candidates[order[chosen], 0]
    stray = pairs[:, 0] != sources[np.searchsorted(rows, pairs[:, 1])]
    return Seeds(rows, sources, pairs[stray])


def carry(first: Collection, second: Collection, *, switch: bool) -> Shared:
    """Make the second index's tables what the first one's are, durably; what the two share.

    Done again it replaces what it did. Both must have been through all steps, and no run be in the
    middle of its adoption by the first. Where the `switch` is next, what waits for readers goes
    over too, with images that only one of the two has. Not before: an image that is erased would
    stay in it, as no purge of a second index looks there. Blocks: about ten seconds for a million
    images.
    """
    first.settle()
    second.settle()
    shared = compare_images(first.index.directory, second.index.directory)
    found = seeds(shared.rows, first.assignments.labels)
    with (
        first.index.transaction(durable=False) as source,
        second.index.transaction(durable=True) as target,
    ):
        for table in (*_WHOLE, *_OUTBOXES) if switch else _WHOLE:
            _copy(source, target, table)
        target.execute("UPDATE cluster SET exemplar_row = NULL")
        _copy_rest(source, target)
        _leave_out(target)
        _assign(target, first, found)
        if switch:
            _tell(target, first, second, shared, found)
        else:
            target.execute(f"DELETE FROM truth WHERE image NOT IN {_HERE}")  # noqa: S608
            _empty_outboxes(target)
        write_state(target, second.state, _state(first.state, second.state))
        second.load(target)
    second.adoption = None
    return shared


def _state(first: State, second: State) -> State:
    """The first one's, but what counts the images and rows of the second index."""
    return replace(
        first,
        runs=max(first.runs, second.runs),
        adopting=0,
        adopting_first=0,
        adopting_events=0,
        added=second.added,
        erased=second.erased,
        clustered_at=0.0,
        clustered_added=0,
        clustered_erased=0,
        clustered_rows=0,
    )


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
    target.execute(f"DELETE FROM {table}")  # noqa: S608
    rows = source.execute(f"SELECT * FROM {table}")  # noqa: S608
    places = ", ".join("?" * len(rows.description))
    target.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608


def _copy_rest(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Beside what is there: erasures that the stream of events tells of, and the last number of a
    correction, which is not given out again.
    """
    target.executemany(
        "INSERT INTO erasure (image, at, copies) SELECT ?1, ?2, ?3 WHERE NOT EXISTS"
        " (SELECT 1 FROM erasure WHERE image IS ?1 AND at = ?2)",
        source.execute("SELECT image, at, copies FROM erasure ORDER BY number"),
    )
    target.execute("DELETE FROM sqlite_sequence WHERE name = 'correction'")
    target.executemany(
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('correction', ?)",
        source.execute("SELECT seq FROM sqlite_sequence WHERE name = 'correction'"),
    )


def forget_outboxes(second: Collection) -> None:
    """Nothing waits for readers in a second index whose switch did not come, durably."""
    if second.outbox:
        with second.index.transaction(durable=True) as target:
            _empty_outboxes(target)
            second.outbox = Outbox(target)


def _empty_outboxes(target: sqlite3.Connection) -> None:
    for table in _OUTBOXES:
        target.execute(f"DELETE FROM {table}")  # noqa: S608


def _leave_out(target: sqlite3.Connection) -> None:
    """What is said of images that are not there goes with them."""
    target.execute(
        f"DELETE FROM correction WHERE image NOT IN {_HERE}"  # noqa: S608
        f" OR (other IS NOT NULL AND other NOT IN {_HERE})"
    )
    target.execute(
        f"DELETE FROM question WHERE image NOT IN {_HERE} OR other NOT IN {_HERE}"  # noqa: S608
    )


def _assign(target: sqlite3.Connection, first: Collection, found: Seeds) -> None:
    kept, rows = first.assignments, found.sources
    target.execute("DELETE FROM assignment")
    target.executemany(
        "INSERT INTO assignment VALUES (?, ?, ?, ?, ?)",
        zip(
            found.rows.tolist(),
            kept.labels[rows].tolist(),
            kept.confidence[rows].tolist(),
            kept.provisional[rows].tolist(),
            kept.generation[rows].tolist(),
            strict=True,
        ),
    )


def _tell(
    target: sqlite3.Connection,
    first: Collection,
    second: Collection,
    shared: Shared,
    found: Seeds,
) -> None:
    """Into the outbox, where they do not wait already: images that only one of the two has, and
    those that their row has another cluster than.
    """
    gone = list(zip(shared.first_only, first.index.row_of(shared.first_only), strict=True))
    entries: list[tuple[str, int | None]] = [(image, first.visible(row)) for image, row in gone]
    entries += ((image, None) for image in shared.second_only)
    entries += _strays(first, second, found.strays)
    target.executemany("INSERT OR IGNORE INTO outbox VALUES (?, ?)", entries)


def _strays(
    first: Collection, second: Collection, pairs: NDArray[np.int64]
) -> list[tuple[str, int | None]]:
    """The images of rows of the second index on which images of several rows of the first lie."""
    rows = np.unique(pairs[:, 1]).tolist()
    images: Sequence[str] = [id_ for ids in second.index.ids_of(rows) for id_ in ids]
    return [
        (image, first.visible(row))
        for image, row in zip(images, first.index.row_of(images), strict=True)
        if row is not None
    ]
