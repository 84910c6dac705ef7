"""What is known of an edge before any network: 38 numbers no rotation of the space can change."""

import torch
from torch import Tensor

from models.background import Background
from models.kernels.constants import MIN_RANGE, NORM_EPSILON, PREFIXES, SHOWN
from models.nodes import NodeTable
from models.triangles import Triangles
from models.view import View

FEATURES = 38
QUANTILES = 257


def both(a: Tensor, b: Tensor) -> list[Tensor]:
    """A pair of values of the two ends as (smaller, larger), so that p_ij = p_ji."""
    return [torch.minimum(a, b), torch.maximum(a, b)]


def edge_features(
    view: View,
    background: Background,
    quantiles: Tensor,
    rows: Tensor,
    ends: tuple[NodeTable, Tensor, Tensor],
    hubness: Tensor,
    triangles: Triangles,
) -> Tensor:
    """Round 1's input for the first w edges of `rows` [b]: float32 [b, w, 38].

    `ends` is (table, i [b], j [b, w]): where in `table` and in `hubness` [m] the two ends stand.
    `quantiles` [3, 257] are those of all rows' R to their 1st, 10th and last neighbour. Padding
    edges hold meaningless numbers.
    """
    table, i, j = ends
    b, w = j.shape
    r, z = (value[:, :w] for value in background.standardise(view, rows))  # [b, w]
    rank = torch.arange(w, device=r.device).expand(b, w)
    nearer, farther = both(rank, triangles.back)
    columns = [
        r,
        z,
        nearer.float().log1p(),
        farther.float().log1p(),
        (triangles.back < view.k).float(),
    ]

    def ends_of(value: Tensor) -> tuple[Tensor, Tensor]:
        return value[i][:, None].expand(b, w), value[j]

    for prefix, near in zip(PREFIXES, table.near.unbind(1), strict=True):
        low, high = both(*ends_of(near))
        columns += [r - low, r - high]
        if prefix in SHOWN:
            columns += [low, high]
    columns += both(*ends_of(table.near_z))
    span = (table.near[:, 0] - table.last).clamp(min=MIN_RANGE)
    (last_i, last_j), (span_i, span_j) = ends_of(table.last), ends_of(span)
    columns += both((r - last_i) / span_i, (r - last_j) / span_j)
    columns += list(triangles.shared().unbind(-1))
    columns += _directions(view, background, rows, ends)
    columns += both(*ends_of(table.coherence))
    columns += [quantile(table_of, r) for table_of in quantiles]
    columns += both(*ends_of(hubness))
    return torch.stack(columns, dim=-1)


def _directions(
    view: View, background: Background, rows: Tensor, ends: tuple[NodeTable, Tensor, Tensor]
) -> list[Tensor]:
    """Cosines between the ends' neighbourhood directions, and of each end with the other's."""
    table, i, j = ends
    neighbours = view.neighbours.index_select(0, rows)[:, : j.shape[1]].long().clamp(min=0)
    vectors = view.vectors
    own = vectors.index_select(0, rows) - background.mean  # [b, d]
    own = own / (own.norm(dim=1, keepdim=True) + NORM_EPSILON)
    mine = table.direction.index_select(0, i)  # [b, d]
    theirs = table.direction.index_select(0, j.reshape(-1)).reshape(
        *j.shape, mine.shape[1]
    )  # [b, w, d]
    other = vectors.index_select(0, neighbours.reshape(-1)).reshape(
        *j.shape, mine.shape[1]
    )  # [b, w, d]
    norm = background.lookup(vectors, neighbours)[..., 1]  # [b, w]
    gg, ug = (theirs * mine[:, None]).sum(-1), (theirs * own[:, None]).sum(-1)  # [b, w]
    gx = (other * mine[:, None]).sum(-1)
    gu = (gx - (mine @ background.mean)[:, None]) / (norm + NORM_EPSILON)
    return [gg, *both(ug, gu)]


def quantile(table: Tensor, value: Tensor) -> Tensor:
    """The share of a collection below `value`, by linear interpolation in its `table` [q]."""
    steps = len(table) - 1
    right = torch.searchsorted(table, value.contiguous()).clamp(1, steps)
    low, high = table[right - 1], table[right]
    inside = ((value - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
    return (right - 1 + inside) / steps
