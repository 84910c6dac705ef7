"""What goes into the log, and what came of it."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class NewImage:
    """One image: `vector` is float32 [d] of unit length; the rest is kept as it is."""

    id: str
    vector: NDArray[np.float32]
    group: str | None = None
    uri: str | None = None
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Erasure:
    """The image `id` is to be forgotten."""

    id: str


class Outcome(StrEnum):
    """What one write did."""

    ADDED = "added"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"
    ERASED = "erased"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class ImageWrite:
    """What one write did: `row` holds the image now, `old_row` held it before.

    ADDED has `row`, REPLACED both, ERASED `old_row`, ABSENT neither. UNCHANGED (the same id with
    the same vector; group, uri and time are taken over) has `row`.
    """

    id: str
    outcome: Outcome
    row: int | None
    old_row: int | None


@dataclass(frozen=True)
class Logged:
    """What one call of `log` did.

    `writes` has one entry per write, in order. `new_rows` (int64, consecutive) were created by the
    call; `dead_rows` (int64, rising) lost their last image in it. A row may be in both.
    """

    writes: list[ImageWrite]
    new_rows: NDArray[np.int64]
    dead_rows: NDArray[np.int64]
