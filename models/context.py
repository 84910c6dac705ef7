"""What the networks must know of a collection as a whole to judge one of its edges."""

import zipfile
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.background import BLOCK_ROWS, LANDMARKS, Background, background_of
from models.edge_features import QUANTILES
from models.errors import BadInputError
from models.kernels.constants import FEW, WIDE
from models.kernels.degrees import count_listed
from models.kernels.triangles import count_overlap
from models.nodes import NodeTable, node_table
from models.triangles import triangles_of
from models.view import View, borrow

NUMBERS = 14
COUNT_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class CollectionContext:
    """A collection's frame of reference, from a full run or from a sample.

    `mean` [d], `factor` [f, d], `spread_floor` [] and `rows` [m, 3]: see `Background`; `hubness`
    [m]: log(1 + in-degree) of the first m rows; `quantiles` [3, 257] of R to the 1st, 10th and
    last neighbour; `numbers` [14]: how clusterable the graph is; `conditions` [4]: granularity
    and group size. All float32. Rows from m on are measured when they are met.
    """

    mean: NDArray[np.float32]
    factor: NDArray[np.float32]
    spread_floor: NDArray[np.float32]
    rows: NDArray[np.float32]
    hubness: NDArray[np.float32]
    quantiles: NDArray[np.float32]
    numbers: NDArray[np.float32]
    conditions: NDArray[np.float32]

    def save(self, path: str | Path) -> None:
        """Write an npz file at exactly `path`."""
        with Path(path).open("wb") as file:
            np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @staticmethod
    def load(path: str | Path) -> "CollectionContext":
        """Read what `save` wrote. Raises `BadInputError` for anything else."""
        try:
            with np.load(path, allow_pickle=False) as file:
                names = [field.name for field in fields(CollectionContext)]
                return CollectionContext(**{name: file[name] for name in names})
        except (KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
            raise BadInputError(f"{path} is not a saved collection context: {error}") from error

    def grown(
        self, vectors: NDArray[np.float32], neighbours: NDArray[np.int32]
    ) -> "CollectionContext":
        """This context with all rows of a collection known that has grown since; O(n K).

        `vectors` [n, d] and `neighbours` [n, K]: the rows that came are measured, the in-degrees of
        all are counted. The rest stays as it was measured. An empty context stays as it is.
        """
        if not len(self.mean):
            return self
        later = borrow(vectors[len(self.rows) :])
        measure = self.background(later.device).measure
        parts = [measure(part).numpy() for part in torch.split(later, BLOCK_ROWS)]
        return replace(
            self,
            rows=np.concatenate((self.rows, *parts)),
            hubness=np.log1p(_listed(borrow(neighbours))).astype(np.float32),
        )

    def background(self, device: torch.device) -> Background:
        """The frame for similarities, on `device`."""
        return Background(
            mean=borrow(self.mean).to(device),
            factor=borrow(self.factor).to(device),
            spread_floor=float(self.spread_floor),
            rows=borrow(self.rows).to(device),
        )

    def inputs(self, device: torch.device) -> Tensor:
        """The 18 numbers that are appended to every edge."""
        return torch.from_numpy(np.concatenate((self.numbers, self.conditions))).to(device)


def empty_context() -> CollectionContext:
    """What a model keeps that needs to know nothing of a collection."""
    names = [field.name for field in fields(CollectionContext)]
    return CollectionContext(**{name: np.zeros(0, np.float32) for name in names})


def context_of(
    view: View,
    alive: NDArray[np.int64],
    conditions: NDArray[np.float32],
    *,
    seed: int = 0,
    rows_known: int | None = None,
) -> CollectionContext:
    """Measure a collection on at most 4,096 of its `alive` rows.

    Two passes see more than the sample: the mean and the in-degrees (all rows), and the table of
    the first `rows_known` rows (all, if None). The same seed gives the same context.
    """
    n, device = len(view), view.device
    known = n if rows_known is None else min(n, rows_known)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(alive, min(LANDMARKS, len(alive)), replace=False, shuffle=False)
    sample = torch.from_numpy(np.sort(chosen)).to(device)
    background = background_of(view.vectors, torch.from_numpy(alive).to(device), sample, known)
    degree = _in_degree(view)
    hubness = degree.float().log1p()
    table = node_table(view, background, sample)
    return CollectionContext(
        mean=background.mean.cpu().numpy(),
        factor=background.factor.cpu().numpy(),
        spread_floor=np.array(background.spread_floor, np.float32),
        rows=background.rows.cpu().numpy(),
        hubness=hubness[:known].cpu().numpy(),
        quantiles=_quantiles(table),
        numbers=_numbers(view, table, sample, hubness.index_select(0, sample)),
        conditions=conditions,
    )


def _in_degree(view: View) -> Tensor:
    if view.kind == "cpu":
        return torch.from_numpy(_listed(view.neighbours))
    flat = view.neighbours.reshape(-1)
    count = torch.zeros(len(view) + 1, dtype=torch.int64, device=view.device)
    for part in torch.split(flat, COUNT_BLOCK):
        count += torch.bincount(part.long() + 1, minlength=len(view) + 1)  # padding counts at 0
    return count[1:]


def _listed(neighbours: Tensor) -> NDArray[np.int32]:
    """How many rows list each, of `neighbours` [n, K] on the CPU. Raises `BadInputError`."""
    n = len(neighbours)
    listed = np.zeros(n, np.int32)
    if count_listed(neighbours.numpy(), listed):
        raise BadInputError(f"graph names row {int(neighbours.max())}; rows are 0..{n - 1}")
    return listed


def _quantiles(table: NodeTable) -> NDArray[np.float32]:
    """[3, 257] quantiles of R to the 1st, 10th and last neighbour."""
    steps = torch.linspace(0, 1, QUANTILES, device=table.last.device)
    columns = (table.near[:, 0], table.tenth, table.last)
    if not len(table.last):
        return np.zeros((len(columns), QUANTILES), np.float32)
    return torch.stack([torch.quantile(column, steps) for column in columns]).cpu().numpy()


def _numbers(view: View, table: NodeTable, sample: Tensor, hubness: Tensor) -> NDArray[np.float32]:
    """The 14 numbers, over the sample and its edges."""
    if not len(sample):
        return np.zeros(NUMBERS, np.float32)
    shared, mutual = _overlap(view, sample)
    first = table.near[:, 0]
    rest = [first.mean(), table.tenth.mean(), table.last.mean(), _spread(first)]
    rest += [_spread(table.last), table.first_z.mean(), table.last_z.mean(), _spread(hubness)]
    rest += [table.coherence.mean(), _spread(table.coherence)]
    return torch.cat((shared, mutual[None], torch.stack(rest))).cpu().numpy()


def _spread(value: Tensor) -> Tensor:
    return value.std(correction=0)


def _overlap(view: View, sample: Tensor) -> tuple[Tensor, Tensor]:
    """Mean shared neighbours [3] and share of mutual edges [] over the sample's edges."""
    way = _count_by_kernel if view.kind == "cpu" else _count_on_tensors
    shared, mutual, edges = way(view, sample)
    limit = torch.tensor([FEW, WIDE, max(view.k, 1)], device=view.device)
    most = edges.clamp(min=1)
    return (shared / limit / most).float(), (mutual / most).float()


def _count_by_kernel(view: View, sample: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Over all edges of the sample: neighbours shared [3], those that are mutual [], all []."""
    total = np.zeros(5, np.int64)
    count_overlap(view.neighbours.numpy(), sample.numpy(), total)
    counts = torch.from_numpy(total).double()
    return counts[:3], counts[3], counts[4]


def _count_on_tensors(view: View, sample: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `_count_by_kernel`."""
    shared = torch.zeros(3, device=view.device, dtype=torch.float64)
    mutual = torch.zeros((), device=view.device, dtype=torch.float64)
    edges = torch.zeros((), device=view.device, dtype=torch.float64)
    for rows in view.chunks(sample):
        triangles = triangles_of(view, rows, view.k)
        valid = view.neighbours.index_select(0, rows) >= 0
        shared += (triangles.counts() * valid[..., None]).sum((0, 1))
        mutual += ((triangles.back < view.k) & valid).sum()
        edges += valid.sum()
    return shared, mutual, edges
