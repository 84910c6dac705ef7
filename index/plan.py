"""Decide what a batch of writes does to images and rows, before anything is written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from index.writes import Erasure, ImageWrite, NewImage, Outcome


@dataclass(frozen=True, slots=True)
class LogPlan:
    """Everything that one durable transaction changes.

    `new_hashes` and `new_positions` (place of the vector among the batch's new images) describe the
    rows from `first_row` on. `images` holds the last word on each id: its row and the write it came
    from, or None when erased. `counts` holds the new number of images of each row touched.
    """

    first_row: int
    writes: list[ImageWrite] = field(default_factory=list)
    new_hashes: list[bytes] = field(default_factory=list)
    new_positions: list[int] = field(default_factory=list)
    images: dict[str, tuple[int, NewImage] | None] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def images_gained(self) -> int:
        """By how much the number of live images changes."""
        outcomes = [write.outcome for write in self.writes]
        return outcomes.count(Outcome.ADDED) - outcomes.count(Outcome.ERASED)

    def dead_rows(self) -> list[int]:
        """Rows that no image points to any more, rising."""
        return sorted(row for row, count in self.counts.items() if count == 0)


def plan_log(
    writes: Sequence[NewImage | Erasure],
    hashes: Sequence[bytes],
    *,
    first_row: int,
    row_of_id: Mapping[str, int],
    row_of_hash: Mapping[bytes, int],
    count_of_row: Callable[[int], int],
) -> LogPlan:
    """Take the writes in order. `hashes` has one entry per NewImage, in the same order.

    `row_of_id` and `row_of_hash` hold what the catalog knows of the batch's ids and hashes. A row
    that loses its last image and is found again by a later write of the batch stays alive.
    """
    plan = LogPlan(first_row)
    rows_by_id = dict(row_of_id)
    rows_by_hash = dict(row_of_hash)

    def add(row: int, change: int) -> None:
        if row not in plan.counts:
            plan.counts[row] = count_of_row(row) if row < first_row else 0
        plan.counts[row] += change

    position = -1
    for write in writes:
        old = rows_by_id.get(write.id)
        if isinstance(write, Erasure):
            if old is None:
                plan.writes.append(ImageWrite(write.id, Outcome.ABSENT, None, None))
                continue
            add(old, -1)
            del rows_by_id[write.id]
            plan.images[write.id] = None
            plan.writes.append(ImageWrite(write.id, Outcome.ERASED, None, old))
            continue
        position += 1
        key = hashes[position]
        row = rows_by_hash.get(key)
        if row is None:
            row = rows_by_hash[key] = first_row + len(plan.new_hashes)
            plan.new_hashes.append(key)
            plan.new_positions.append(position)
        plan.images[write.id] = (row, write)
        if row == old:
            plan.writes.append(ImageWrite(write.id, Outcome.UNCHANGED, row, None))
            continue
        add(row, 1)
        if old is None:
            plan.writes.append(ImageWrite(write.id, Outcome.ADDED, row, None))
        else:
            add(old, -1)
            plan.writes.append(ImageWrite(write.id, Outcome.REPLACED, row, old))
        rows_by_id[write.id] = row
    return plan
