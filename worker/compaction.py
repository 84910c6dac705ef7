"""A collection that has many dead rows is written anew without them, while it serves.

C1 make an empty second index beside it
C2 copy every image into it, in slices between batches; what changes meanwhile is copied again
C3 compare, on another thread: every image is in both, with the same vector and the same words, or
   is copied again
C4 carry what people and readers know of it (`worker.carry`), and former runs, to the new rows
M6 to M8: the second index takes the first one's place (`worker.migration`)

Nothing is noted: a process that dies before M6 leaves a second index that no migration made, which
goes when the collection is opened again.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from index import (
    Erasure,
    ImageWrite,
    NewImage,
    Outcome,
    Shared,
    differing_images,
    reach_fault,
)
from worker.carry import carry
from worker.collection import Collection
from worker.recluster import generations
from worker.records import Erase, Record, Upsert
from worker.state import State, write_state

_COMPARING = ThreadPoolExecutor(1, "compare")


class Compaction:
    """Of `first`, into the empty `second`; owned by the ingest thread."""

    def __init__(self, first: Collection, second: Collection) -> None:
        self.first = first
        self.second = second
        self._copied = 0  # rows of the first, up to where its images were
        self._seen = first.index.rows
        self._again: dict[str, None] = {}
        self._comparison: Future[list[str]] | None = None
        self._written: set[str] = set()  # since the comparison began

    @property
    def closed(self) -> bool:
        """Whether it cannot go on: one of the two was closed."""
        return self.first.closed or self.second.closed

    def saw(self, collection: Collection, writes: Sequence[ImageWrite]) -> None:
        """What a collection logged just now: what was copied before is copied again."""
        if collection is not self.first:
            return
        changed = [write for write in writes if write.outcome is not Outcome.ABSENT]
        self._again |= {w.id: None for w in changed if w.row is None or w.row < self._copied}
        if self._comparison is not None:
            self._written.update(write.id for write in changed)

    def step(self, rows: int) -> bool:
        """C2, for the images of about `rows` rows and what came since the last call, and C3; True
        when both indexes have the same images now.
        """
        index = self.first.index
        came, self._seen = index.rows - self._seen, index.rows
        live = self._copied + np.flatnonzero(index.counts[self._copied :])[: rows + came]
        self._copied = int(live[-1]) + 1 if len(live) else index.rows
        again, self._again = list(self._again), {}
        self._copy([*again, *(id_ for ids in index.ids_of(live.tolist()) for id_ in ids)])
        reach_fault("C2")
        return self._copied == index.rows and self._equal()

    def end(self) -> None:
        """C4, after a step that was the last. No batch may be under way, and no run over the first
        be adopted. Blocks: some ten seconds for a million images.
        """
        self.first.settle()
        model = self.first.index.model
        if model is not None and self.second.index.model is None:
            self.second.index.name_model(model)
        self.second.log((), self.first.index.positions)
        self._carry_rows(carry(self.first, self.second))
        reach_fault("C4")

    def _equal(self) -> bool:
        """Whether a comparison has found nothing that was not written while it went on, which is
        copied as it comes.
        """
        if self._comparison is None:
            folders = (self.first.index.directory, self.second.index.directory)
            self._comparison = _COMPARING.submit(differing_images, *folders)
            self._written.clear()
        if not self._comparison.done():
            return False
        different = set(self._comparison.result()) - self._written
        if different:
            self._comparison = None
            self._again |= dict.fromkeys(different)
            return False
        reach_fault("C3")
        return True

    def _copy(self, ids: Sequence[str]) -> None:
        self.second.settle()
        name = self.first.name
        writes = self.first.index.writes_of(ids)
        if writes:
            self.second.insert(self.second.log([_record(name, write) for write in writes], {}))

    def _carry_rows(self, shared: Shared) -> None:
        """What names rows, and is the same images' still: exemplars, generations, how much came
        since the last run.
        """
        first, second = self.first, self.second
        new_rows = dict(shared.rows.tolist())
        exemplars = {
            number: new_rows[row]
            for number in range(len(first.clusters))
            if (row := first.clusters[number].exemplar_row) in new_rows
        }
        with second.index.transaction(durable=True) as connection:
            second.clusters.set_exemplars(connection, exemplars)
            state = _state(first, second)
            write_state(connection, second.state, state)
            second.state = state
        generations.renumber(
            first.index.directory, second.index.directory, shared.rows, second.index.rows
        )


def _state(first: Collection, second: Collection) -> State:
    """The second one's, with what the first one counted; of rows, as many came since its run."""
    counted = first.state
    return replace(
        second.state,
        added=counted.added,
        erased=counted.erased,
        clustered_at=counted.clustered_at,
        clustered_added=counted.clustered_added,
        clustered_erased=counted.clustered_erased,
        clustered_rows=second.index.rows - (first.index.rows - counted.clustered_rows),
    )


def _record(collection: str, write: NewImage | Erasure) -> Record:
    if isinstance(write, Erasure):
        return Erase(collection, write.id)
    return Upsert(collection, write.id, write.vector, None, write.group, write.uri, write.time)
