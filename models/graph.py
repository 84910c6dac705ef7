"""The k-NN graph, and how to build it exactly for a batch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from models.device import taking_work, warn_of_memory
from models.errors import BadInputError
from models.vectors import unit_rows

K = 30
PAD_NEIGHBOUR = -1
PAD_SIMILARITY = -2.0

# One tile of similarities: 1024 x 32768 float32 is 128 MiB.
TILE_ROWS = 1_024
TILE_COLUMNS = 32_768

Progress = Callable[[str, float], None]
"""Called with the name of a stage and the share of it that is done, 0..1."""


@dataclass(frozen=True, slots=True)
class KnnGraph:
    """Each row's nearest other rows by falling cosine, none twice.

    `neighbours` int32 [n, K] and `similarity` float32 [n, K]; entries that a row lacks are at its
    end: neighbour -1, similarity -2.0.
    """

    neighbours: NDArray[np.int32]
    similarity: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name in ("neighbours", "similarity"):
            kind = type(getattr(self, name))
            if not issubclass(kind, np.ndarray):
                raise BadInputError(f"graph has {name} of {kind.__name__}; it must be an array")
        if not np.issubdtype(self.neighbours.dtype, np.integer):
            kept = self.neighbours.dtype
            raise BadInputError(f"graph has neighbours of {kept}; they must be int32")
        shape = self.neighbours.shape
        if len(shape) != 2 or shape != self.similarity.shape:
            raise BadInputError(
                f"graph has neighbours {shape} and similarity {self.similarity.shape}; "
                "both must be [n, K]"
            )

    def __len__(self) -> int:
        return len(self.neighbours)

    def first(self, k: int) -> "KnnGraph":
        """The graph of the first `k` neighbours only; of one that is missing, if it has none."""
        if not self.neighbours.shape[1]:
            n = len(self)
            none = np.full((n, 1), PAD_NEIGHBOUR, np.int32)
            return KnnGraph(none, np.full((n, 1), PAD_SIMILARITY, np.float32))
        if self.neighbours.shape[1] <= k:
            return self
        return KnnGraph(self.neighbours[:, :k], self.similarity[:, :k])


def twice(neighbours: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which rows of `neighbours` [n, K] list another one twice [n]."""
    ids = np.sort(neighbours, axis=1)
    again = (ids[:, 1:] == ids[:, :-1]) & (ids[:, 1:] != PAD_NEIGHBOUR)
    return np.asarray(again.any(axis=1))


def exact_knn(
    features: ArrayLike,
    k: int = K,
    *,
    device: str | None = None,
    progress: Progress | None = None,
) -> KnnGraph:
    """The exact k-NN graph of `features` [n, d], which are normalised first. Blocks.

    The result is [n, k]; with n <= k rows the missing entries are padding. Raises
    `BadInputError` as `unit_rows` does, for k < 1, and for a device that takes no work.
    """
    if k < 1:
        raise BadInputError(f"k is {k}; it must be at least 1")
    return nearest(unit_rows(features), k, device=device, progress=progress)


def nearest(
    unit: NDArray[np.float32],
    k: int,
    *,
    device: str | None = None,
    progress: Progress | None = None,
) -> KnnGraph:
    """As `exact_knn`, for rows that are of unit length already."""
    return nearest_of(unit, np.arange(len(unit)), k, device=device, progress=progress)


def nearest_of(
    unit: NDArray[np.float32],
    wanted: NDArray[np.int64],
    k: int,
    *,
    device: str | None = None,
    progress: Progress | None = None,
) -> KnnGraph:
    """The rows `wanted` [m] of the graph of `unit`, in that order, [m, k].

    Where the memory of a GPU does not do, the CPU searches, with a warning.
    """
    search = partial(_nearest_of, unit, wanted, k, progress=progress)
    try:
        return search(device=device or "cpu")
    except torch.OutOfMemoryError:
        n, d = unit.shape
        warn_of_memory(str(device), f"the graph of {n:,} rows of {d} dimensions")
    return search(device="cpu")


def _nearest_of(
    unit: NDArray[np.float32],
    wanted: NDArray[np.int64],
    k: int,
    *,
    device: str,
    progress: Progress | None,
) -> KnnGraph:
    neighbours = np.full((len(wanted), k), PAD_NEIGHBOUR, np.int32)
    similarity = np.full((len(wanted), k), PAD_SIMILARITY, np.float32)
    width = min(k, len(unit) - 1)
    if width < 1:
        return KnnGraph(neighbours, similarity)
    with taking_work(device):
        rows = torch.from_numpy(np.ascontiguousarray(unit)).to(device)
    numbers = torch.from_numpy(wanted).to(rows.device)
    for start in range(0, len(wanted), TILE_ROWS):
        part = slice(start, start + TILE_ROWS)
        value, index = _best_of_tiles(rows, numbers[part], width)
        neighbours[part, :width] = index.cpu().numpy()
        similarity[part, :width] = value.cpu().numpy()
        if progress is not None:
            progress("graph", min(1.0, (start + TILE_ROWS) / len(wanted)))
    return KnnGraph(neighbours, similarity)


def _best_of_tiles(
    rows: torch.Tensor, numbers: torch.Tensor, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The `width` largest similarities of rows[numbers] over all other rows, tile by tile."""
    block = rows[numbers]
    values, indices = [], []
    for left in range(0, len(rows), TILE_COLUMNS):
        tile = block @ rows[left : left + TILE_COLUMNS].T  # [b, c]
        own = numbers - left
        inside = (own >= 0) & (own < tile.shape[1])
        tile[inside.nonzero().squeeze(1), own[inside]] = PAD_SIMILARITY
        value, index = tile.topk(min(width + 1, tile.shape[1]), dim=1)
        values.append(value)
        indices.append(index + left)
    value, order = torch.cat(values, dim=1).topk(width, dim=1)
    return value, torch.cat(indices, dim=1).gather(1, order)
