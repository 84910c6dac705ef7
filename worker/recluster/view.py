"""R1: a consistent view of a collection, on disk, for one run."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.agreement import NO_CORRECTIONS, Table
from worker.gate import GateSettings
from worker.questions import NO_FACTS, Facts
from worker.recluster.folder import read_folder, write_folder

_MAPPED = frozenset({"neighbours", "similarity"})
_ROWS = ("neighbours", "similarity", "counts", "labels", "provisional")
_ARRAYS = (*_ROWS, "corrections", "facts")
_PLAIN = ("collection", "generation", "n", "dimension", "k", "granularity", "group_size")


@dataclass(frozen=True, slots=True)
class View:
    """All that a run reads. `n` rows of `dimension` numbers with `k` neighbours each.

    * `generation`: the number that this run gets.
    * `vectors_path`: the vector log, raw float32 rows, of which the first `n` are read. It is
      not copied: rows only ever change by erasure, and then the result for them is dropped.
    * `neighbours` int32 [n, k], `similarity` float32 [n, k]: the k-NN graph.
    * `counts` int32 [n]: images of each row, 0: dead. `labels` int32 [n]: cluster numbers, -1:
      none. `provisional` bool [n]: no full run has placed this row yet.
    * `pinned`: numbers that must not be lost. `live`: numbers of all live clusters.
    * `corrections` int64 [m, 4]: what people said, see `worker.agreement`.
    * `facts` int64 [m, 3]: what people answered, see `worker.questions`.
    * `history`: labels of up to three former generations, newest first, each [<= n].
    * `granularity`, `group_size`, `weights`: handed to the clusterer. `gate`: the limits.
    """

    collection: str
    generation: int
    n: int
    dimension: int
    k: int
    vectors_path: Path
    granularity: str | None
    group_size: float | None
    neighbours: NDArray[np.int32]
    similarity: NDArray[np.float32]
    counts: NDArray[np.int32]
    labels: NDArray[np.int32]
    provisional: NDArray[np.bool_]
    pinned: Collection[int] = frozenset()
    live: Collection[int] = frozenset()
    history: Sequence[NDArray[np.int32]] = ()
    weights: Path | None = None
    gate: GateSettings = field(default_factory=GateSettings)
    corrections: Table = field(default_factory=NO_CORRECTIONS.copy)
    facts: Facts = field(default_factory=NO_FACTS.copy)

    def __post_init__(self) -> None:
        for name in _ROWS:
            shape = getattr(self, name).shape
            expected = (self.n, self.k) if name in _MAPPED else (self.n,)
            if shape != expected:
                raise ValueError(f"{name} has shape {shape}; it must be {expected}")

    def vectors(self) -> NDArray[np.float32]:
        """The rows, float32 [n, dimension], mapped (copy on write)."""
        shape = (self.n, self.dimension)
        if self.n == 0:
            return np.empty(shape, np.float32)
        return np.memmap(self.vectors_path, "<f4", "c", shape=shape)


def write_view(directory: Path, view: View) -> None:
    """Copy `view` into the folder `directory`, which is there whole or not at all.

    Blocks the caller, who must not change the arrays meanwhile: 15 to 70 ms for 100,000 rows of
    30 neighbours, by how busy memory is. Nothing is synced: a view that a power cut loses is
    taken again.
    """
    arrays: dict[str, NDArray[Any]] = {name: getattr(view, name) for name in _ARRAYS}
    arrays |= {f"history-{age}": labels for age, labels in enumerate(view.history)}
    meta = {
        **{name: getattr(view, name) for name in _PLAIN},
        "vectors_path": str(view.vectors_path.absolute()),
        "pinned": sorted(view.pinned),
        "live": sorted(view.live),
        "history": len(view.history),
        "weights": None if view.weights is None else str(view.weights.absolute()),
        "gate": asdict(view.gate),
    }
    write_folder(directory, arrays, meta, durable=False)


def read_view(directory: Path) -> View:
    """Read a view back; the graph stays on disk, mapped.

    Raises `CorruptError` naming the file.
    """
    folder = read_folder(directory, mapped=_MAPPED)
    meta = folder.meta
    fields: dict[str, Any] = {name: meta[name] for name in _PLAIN}
    fields |= {name: folder.arrays[name] for name in _ARRAYS}
    return View(
        **fields,
        vectors_path=Path(meta["vectors_path"]),
        pinned=frozenset(meta["pinned"]),
        live=frozenset(meta["live"]),
        history=tuple(folder.arrays[f"history-{age}"] for age in range(meta["history"])),
        weights=None if meta["weights"] is None else Path(meta["weights"]),
        gate=GateSettings(**meta["gate"]),
    )
