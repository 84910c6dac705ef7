"""A collection as tensors: vectors and k-NN graph on one device."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.errors import BadInputError
from models.graph import KnnGraph

# Floats that one step over a chunk of rows may gather at once: 4 MiB stay in a CPU's caches, a GPU
# wants few and large steps.
CHUNK_FLOATS = {"cpu": 1 << 20, "cuda": 1 << 26}
MAX_CHUNK_ROWS = {"cpu": 128, "cuda": 16_384}


@dataclass(frozen=True, slots=True)
class View:
    """`vectors` float32 [n, d] unit rows; `neighbours` int32 and `similarity` float32 [n, K]."""

    vectors: Tensor
    neighbours: Tensor
    similarity: Tensor

    @property
    def k(self) -> int:
        """The number of neighbours that a row has at most."""
        return int(self.neighbours.shape[1])

    @property
    def device(self) -> torch.device:
        """Where everything lies."""
        return self.vectors.device

    @property
    def kind(self) -> str:
        """How much a step takes at once: as on a "cpu", or as on a GPU, "cuda"."""
        return "cpu" if self.device.type == "cpu" else "cuda"

    def __len__(self) -> int:
        return len(self.vectors)

    def chunks(self, rows: Tensor) -> tuple[Tensor, ...]:
        """`rows` in pieces whose neighbours' vectors fit CHUNK_FLOATS."""
        width = self.k * max(self.k, int(self.vectors.shape[1]))
        fitting = CHUNK_FLOATS[self.kind] // max(width, 1)
        return torch.split(rows, max(1, min(MAX_CHUNK_ROWS[self.kind], fitting)))


def view_of(vectors: NDArray[np.float32], graph: KnnGraph, device: str | None = None) -> View:
    """Put `vectors` (an array or a read-only memmap, copied only to a GPU) and `graph` together.

    Raises `BadInputError` when their lengths or types do not fit.
    """
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise BadInputError(
            f"vectors is {vectors.dtype} {vectors.shape}; it must be float32 [n, d]"
        )
    if len(vectors) != len(graph):
        raise BadInputError(f"graph has {len(graph)} rows and vectors {len(vectors)}; both need n")
    return View(
        borrow(vectors).to(device or "cpu"),
        borrow(graph.neighbours.astype(np.int32, copy=False)).to(device or "cpu"),
        borrow(graph.similarity.astype(np.float32, copy=False)).to(device or "cpu"),
    )


def borrow(array: NDArray[Any]) -> Tensor:
    """A tensor over the memory of `array`, which is only ever read."""
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
        return torch.from_numpy(array)
