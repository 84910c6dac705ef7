"""A collection that has many dead rows is written anew without them, while it serves.

C1 make an empty second index beside it
C2 copy every image into it, in slices between batches; what changes meanwhile is copied again
C3 compare: every image is in both, with the same vector and the same words, or is copied again
C4 carry what people and readers know of it (`worker.carry`), and former runs, to the new rows
M6 to M8: the second index takes the first one's place (`worker.migration`)

Nothing is noted: a process that dies before M6 leaves a second index that no migration made, which
goes when the collection is opened again.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from index import (
    CorruptError,
    ImageWrite,
    Outcome,
    Shared,
    VectorError,
    differing_images,
    reach_fault,
)
from worker.blocking import Blocking
from worker.carry import carry
from worker.collection import Collection
from worker.recluster import generations
from worker.run_queue import last_mark, set_last_mark

# So often the two may differ: a vector that the disk has garbled is another one in every copy.
_COMPARISONS = 3


class Compaction:
    """Of `first`, into the empty `second`; owned by the ingest thread."""

    def __init__(self, first: Collection, second: Collection) -> None:
        self.first = first
        self.second = second
        self._copied = 0  # rows of the first, up to where its images were
        self._seen = first.index.rows
        self._again: dict[str, None] = {}
        self._comparisons = 0

    @property
    def closed(self) -> bool:
        """Whether it cannot go on: one of the two was closed."""
        return self.first.closed or self.second.closed

    @property
    def copied_ratio(self) -> float:
        """The share of the first index's rows whose images have been copied."""
        return self._copied / max(1, self.first.index.rows)

    def saw(self, collection: Collection, writes: Sequence[ImageWrite]) -> None:
        """What a collection logged just now: what was copied before is copied again."""
        if collection is self.first:
            self._again |= {
                write.id: None
                for write in writes
                if write.outcome is not Outcome.ABSENT
                and (write.row is None or write.row < self._copied)
            }

    def step(self, rows: int) -> bool:
        """C2, for the images of about `rows` rows and what came since the last call; True when
        nothing is left to copy now. Raises `CorruptError` where an image cannot be copied.
        """
        index = self.first.index
        came, self._seen = index.rows - self._seen, index.rows
        live = self._copied + np.flatnonzero(index.counts[self._copied :])[: rows + came]
        self._copied = int(live[-1]) + 1 if len(live) else index.rows
        again, self._again = list(self._again), {}
        self._copy([*again, *(id_ for ids in index.ids_of(live.tolist()) for id_ in ids)])
        reach_fault("C2")
        return self._copied == index.rows and not self._again

    def end(self, blocking: Blocking) -> bool:
        """C3 and C4; False where something is still to be copied. No batch may be under way, and no
        run over the first be adopted. Blocks: some twenty seconds for a million images. Raises
        `CorruptError` where the two differ again and again.
        """
        self.first.settle()
        self.second.settle()
        first, second = self.first.index.directory, self.second.index.directory
        self._again |= dict.fromkeys(blocking.run(lambda: differing_images(first, second)))
        if self._again:
            self._comparisons += 1
            if self._comparisons == _COMPARISONS:
                raise CorruptError(f"{len(self._again)} images differ from their copies")
            return False
        reach_fault("C3")
        blocking.run(self._carry)
        reach_fault("C4")
        return True

    def _copy(self, ids: Sequence[str]) -> None:
        self.second.settle()
        writes = self.first.index.writes_of(ids)
        if writes:
            try:
                logged = self.second.log_writes(writes, {})
            except VectorError as error:
                raise CorruptError(f"not copied: {error}") from error
            self.second.insert(logged)

    def _carry(self) -> None:
        model = self.first.index.model
        if model is not None and self.second.index.model is None:
            self.second.index.name_model(model)
        self.second.log_writes((), self.first.index.positions)
        self._carry_rows(carry(self.first, self.second, switch=True))

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
            second.set_state(connection, added=first.state.added, erased=first.state.erased)
            mark = last_mark(first.state)
            came_since = first.index.rows - mark.rows
            set_last_mark(connection, second, replace(mark, rows=second.index.rows - came_since))
        generations.renumber(
            first.index.directory, second.index.directory, shared.rows, second.index.rows
        )
