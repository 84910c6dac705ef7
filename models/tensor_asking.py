"""Which pairs the network is asked, on tensors: what `models.asking` does by kernels."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.asking import Rise, raised
from models.joining import LARGE
from models.kernels import columns
from models.kernels.levels import TIE
from models.tensor_clusters import TensorClusters, TensorPairs

TensorScore = Callable[[TensorClusters, TensorPairs], Tensor]
"""As `models.asking.Score`."""


def ask_on_tensors(
    clusters: TensorClusters, pairs: TensorPairs, fresh: Tensor, score: TensorScore, rise: Rise
) -> Tensor:
    """As `ask_pairs`: the best known of each cluster [n], or -1."""
    pairs.q[fresh] = torch.nan
    best, value = best_tensor_pairs(pairs, len(clusters.single))
    large = clusters.sums[:, columns.SIZE] >= LARGE
    left = pairs.q.isnan().nonzero().squeeze(1)
    first = True
    while True:
        bars = value - 2 * TIE  # ties are asked
        left = _open(pairs, left, bars)
        due = left[_decisive(pairs, left, best, bars, large)]
        if not len(due):
            return best
        if first:
            due = _likeliest(pairs, due, bars)
        pairs.q[due] = score(clusters, pairs.take(due))
        pairs.limit[due] = raised(pairs.q[due], rise[0])
        _offer(pairs, due, best, value)
        first = False


def _open(pairs: TensorPairs, index: Tensor, bars: Tensor) -> Tensor:
    """Of the pairs at `index` those that `find_decisive` leaves in question."""
    may_be_best = pairs.limit[index, None] > bars[pairs.ends[index]]
    return index[pairs.q[index].isnan() & may_be_best.any(1)]


def _decisive(
    pairs: TensorPairs, index: Tensor, best: Tensor, bars: Tensor, large: Tensor
) -> Tensor:
    """Which of the pairs at `index` that are in question `find_decisive` finds, bool."""
    has = best >= 0
    own = torch.arange(len(best), device=best.device)
    other = torch.where(has, pairs.ends[best].sum(1) - own, own) if len(pairs) else own
    deciding = has & ((best[other] == best) | large[other])
    ends = pairs.ends[index]
    over = pairs.limit[index, None] > bars[ends]
    return over.all(1) | (over & (deciding[ends] | large[ends.flip(1)])).any(1)


def _likeliest(pairs: TensorPairs, index: Tensor, bars: Tensor) -> Tensor:
    """As `find_likeliest`, of the pairs at `index`, which rise."""
    limit, ends = pairs.limit[index], pairs.ends[index]
    top = torch.full_like(bars, -1.0, dtype=limit.dtype)
    over = limit[:, None] > bars[ends]
    for side in (0, 1):
        top.scatter_reduce_(0, ends[over[:, side], side], limit[over[:, side]], "amax")
    first = torch.full_like(bars, len(pairs.q), dtype=torch.long)
    for side in (0, 1):
        hit = over[:, side] & (limit == top[ends[:, side]])
        first.scatter_reduce_(0, ends[hit, side], index[hit], "amin")
    found: Tensor = torch.unique(first[first < len(pairs.q)])
    return found


def best_tensor_pairs(pairs: TensorPairs, n: int) -> tuple[Tensor, Tensor]:
    """As `best_pairs`: the likeliest pair of each of `n` clusters and how likely; -1 for none."""
    best = torch.full((n,), -1, device=pairs.q.device)
    value = torch.full((n,), -1.0, dtype=torch.float64, device=pairs.q.device)
    _offer(pairs, torch.arange(len(pairs), device=pairs.q.device), best, value)
    return best, value


def _offer(pairs: TensorPairs, index: Tensor, best: Tensor, value: Tensor) -> None:
    """Enter those of the asked pairs at `index` that are as likely as any that their ends had."""
    index = index[~pairs.q[index].isnan()]
    a, b = pairs.ends[index].unbind(1)
    likely = pairs.q[index].double() + TIE * tie_hashes(a, b)
    for end in (a, b):
        value.scatter_reduce_(0, end, likely, "amax")
    for end in (a, b):
        hit = (likely == value[end]).nonzero().squeeze(1)
        best.scatter_reduce_(0, end[hit], index[hit], "amin", include_self=False)


def tie_hashes(a: Tensor, b: Tensor) -> Tensor:
    """`tie_hash` of rows int64 [e]: float64 [e]."""
    x = a * _signed(0x9E3779B97F4A7C15) + b
    x = (x ^ _shifted(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shifted(x, 27)) * _signed(0x94D049BB133111EB)
    x = x ^ _shifted(x, 31)
    return _shifted(x, 11).double() / 9007199254740992.0


def _signed(number: int) -> int:
    """The int64 that has the bits of a uint64."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Bits of x moved down, of int64 as if it were unsigned."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
