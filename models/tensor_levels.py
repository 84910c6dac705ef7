"""Levels of clusters on tensors, for a GPU: what `models.levels` does by kernels, step by step."""

import numpy as np
import torch
from torch import Tensor

from models.asking import DRIFT, RISE, Rise, raised
from models.joining import LARGE, LESS, SHARE, turns
from models.kernels import columns
from models.levels import FLOOR, MAX_LEVELS
from models.tensor_asking import TensorScore, ask_on_tensors
from models.tensor_clusters import TensorClusters, TensorPairs
from models.tree import MergeTree


def build_tensor_tree(
    clusters: TensorClusters,
    pairs: TensorPairs,
    score: TensorScore,
    *,
    floor: float = FLOOR,
    rise: Rise = (RISE, DRIFT),
) -> MergeTree:
    """As `build_tree`: the same merges but for rounding, in another order within a level.

    Changes `clusters` and `pairs` in place.
    """
    n = len(clusters.single)
    node = torch.arange(n, device=clusters.single.device)  # tree node of every representative
    made: list[tuple[Tensor, Tensor, Tensor]] = []
    rounds = [0]
    fresh = torch.arange(len(pairs), device=node.device)
    for _ in range(MAX_LEVELS):
        best = ask_on_tensors(clusters, pairs, fresh, score, rise)
        mutual = _mutual(pairs, best, floor)
        if not len(mutual):
            break
        steps = [mutual, *_joining(pairs, best, mutual, clusters, floor)]
        for joined in steps:
            a, b = joined.ends.unbind(1)
            made.append((node[a], node[b], joined.q.double()))
            node[a] = n + rounds[-1] + torch.arange(len(joined), device=node.device)
            rounds.append(rounds[-1] + len(joined))
            clusters.absorb(joined)
        ends = torch.cat([joined.ends for joined in steps])
        root = torch.arange(n, device=node.device)
        root[ends[:, 1]] = ends[:, 0]
        if len(steps) > 1:
            _enclose(clusters, pairs, ends, root)
        fresh = _rename(pairs, ends, root, rise[1])
    left, right, probability = (
        torch.cat([part[column] for part in made]).cpu().numpy() if made else np.zeros(0, kind)
        for column, kind in enumerate((np.int64, np.int64, np.float64))
    )
    return MergeTree(n, left, right, probability, np.array(rounds))


def _mutual(pairs: TensorPairs, best: Tensor, floor: float) -> TensorPairs:
    """Those pairs above `floor` that are the best of both their ends."""
    own = torch.unique_consecutive(best[best >= 0].sort().values)
    a, b = pairs.ends[own].unbind(1)
    return pairs.take(own[(best[a] == own) & (best[b] == own) & (pairs.q[own] > floor)])


def _joining(
    pairs: TensorPairs, best: Tensor, mutual: TensorPairs, clusters: TensorClusters, floor: float
) -> list[TensorPairs]:
    """As `models.levels._joining`."""
    size = clusters.sums[:, columns.SIZE]
    joining = _joiners(pairs, best, size, floor)
    if not len(joining):
        return []
    a, b = joining.ends.unbind(1)
    _put_first(joining, size[a] < size[b])
    _put_first(mutual, torch.isin(mutual.ends[:, 1], joining.ends[:, 0]))
    room = SHARE * size
    room[mutual.ends[:, 0]] -= size[mutual.ends[:, 1]]
    large, small = joining.ends.unbind(1)
    told = (large, joining.q, small, size[small], room[large])
    made = turns(*(tensor.cpu().numpy() for tensor in told))
    return [joining.take(torch.from_numpy(turn).to(large.device)) for turn in made]


def _joiners(pairs: TensorPairs, best: Tensor, size: Tensor, floor: float) -> TensorPairs:
    """As `find_joiners`."""
    small = (best >= 0).nonzero().squeeze(1)
    e = best[small]
    into = pairs.ends[e].sum(1) - small
    own = best[into]
    partner = pairs.ends[own].sum(1) - into
    joins = (own != e) & (best[partner] == own) & (pairs.q[e] > floor) & (size[into] >= LARGE)
    joins &= pairs.q[e] >= pairs.q[own] - LESS
    joins &= size[small] + size[partner] <= SHARE * size[into]
    return pairs.take(e[joins])


def _put_first(pairs: TensorPairs, seconds: Tensor) -> None:
    """As `models.levels._put_first`."""
    pairs.ends = torch.where(seconds[:, None], pairs.ends.flip(1), pairs.ends)


def _enclose(clusters: TensorClusters, pairs: TensorPairs, joined: Tensor, root: Tensor) -> None:
    """As `models.levels._enclose`."""
    n = len(root)
    inside = pairs.take((root[pairs.ends[:, 0]] == root[pairs.ends[:, 1]]).nonzero().squeeze(1))
    known = joined.amin(1) * n + joined.amax(1)
    apart = ~torch.isin(inside.ends.amin(1) * n + inside.ends.amax(1), known)
    if bool(apart.any()):
        clusters.enclose(root[inside.ends[apart, 0]], inside.take(apart))


def _rename(pairs: TensorPairs, joined: Tensor, root: Tensor, drift: float) -> Tensor:
    """Make `pairs` those after the clusters `joined` [m, 2] have merged; which of them are to be
    asked again. `root` [n] is what every row's cluster is called now.
    """
    n = len(root)
    changed = torch.zeros(n, dtype=torch.bool, device=root.device)
    changed[joined] = True
    moved = changed[pairs.ends].any(1)
    ends, sums = root[pairs.ends[moved]], pairs.sums[moved]
    low, high = ends.amin(1), ends.amax(1)
    apart = low != high
    key, order = torch.sort(low[apart] * n + high[apart], stable=True)
    key, times = torch.unique_consecutive(key, return_counts=True)
    sums, limit = sums[apart][order], pairs.limit[moved][apart][order]
    added = torch.segment_reduce(sums[:, :4], "sum", lengths=times, unsafe=True)
    largest = torch.segment_reduce(sums[:, 4:], "max", lengths=times, unsafe=True)
    limit = torch.segment_reduce(raised(limit, drift), "max", lengths=times, unsafe=True)
    still = ~moved
    pairs.q = torch.cat((pairs.q[still], pairs.q.new_full((len(key),), torch.nan)))
    pairs.limit = torch.cat((pairs.limit[still], limit))
    pairs.ends = torch.cat((pairs.ends[still], torch.stack((key // n, key % n), dim=1)))
    pairs.sums = torch.cat((pairs.sums[still], torch.cat((added, largest), dim=1)))
    return torch.arange(len(pairs) - len(key), len(pairs), device=key.device)
