"""Features of pairs of clusters: `models.pair_features` on tensors."""

import torch
from torch import Tensor

from models.kernels import columns
from models.kernels.constants import NORM_EPSILON, VISIBLE
from models.tensor_clusters import TensorClusters, TensorPairs


def tensor_pair_features(clusters: TensorClusters, pairs: TensorPairs) -> Tensor:
    """`pair_features`: float32 [e, 41]."""
    a, b = pairs.ends.unbind(1)
    dot = _inner_products(clusters, pairs)
    swap = (clusters.lines[a, columns.L_SIZE] > clusters.lines[b, columns.L_SIZE])[:, None]
    line_a, line_b = clusters.lines[a], clusters.lines[b]
    one = torch.where(swap, line_b, line_a).unbind(1)
    two = torch.where(swap, line_a, line_b).unbind(1)
    count, sum_p, sum_pp, sum_r, p_max, r_max = pairs.sums.unbind(1)
    size, larger = one[columns.L_SIZE], two[columns.L_SIZE]
    possible, visible = size * larger, size * larger.clamp(max=VISIBLE)
    p, r = sum_p / count, sum_r / count
    variance = (sum_pp.double() / count - p.double().square()) * (count > 1)
    log_count = count.log()
    log_one, log_two = one[columns.L_LOG_SIZE], two[columns.L_LOG_SIZE]
    cross = dot / possible / (one[columns.L_NORM] * two[columns.L_NORM])
    lengths = one[columns.L_TOTAL_SQUARE] * two[columns.L_TOTAL_SQUARE]
    within = one[columns.L_WITHIN], two[columns.L_WITHIN]
    density = one[columns.L_DENSITY], two[columns.L_DENSITY]
    return torch.stack(
        [
            log_one,
            log_two,
            log_count,
            log_count - log_one - log_two,
            log_count - log_one,
            (sum_p / possible + 1e-4).log(),
            (sum_p / visible + 1e-4).log(),
            p,
            variance.clamp(min=0).sqrt().float(),
            p_max,
            (p + 1e-3).log(),
            sum_p / one[columns.L_OUTGOING_P],
            sum_p / two[columns.L_OUTGOING_P],
            count / one[columns.L_OUTGOING],
            count / two[columns.L_OUTGOING],
            cross,
            dot / (lengths + 1e-12).sqrt(),
            *within,
            cross - torch.minimum(*within),
            cross - torch.maximum(*within),
            r,
            r_max,
            r - one[columns.L_INNER_R],
            r - two[columns.L_INNER_R],
            *density,
            r - torch.minimum(*density),
            r_max - torch.maximum(*density),
            *_own(one),
            *_own(two),
        ],
        dim=1,
    )


def _inner_products(clusters: TensorClusters, pairs: TensorPairs) -> Tensor:
    """<sum u, sum u> of both ends [e]; of two rows it follows from their R."""
    a, b = pairs.ends.unbind(1)
    norm = clusters.lines[:, columns.L_NORM]
    dot = pairs.sums[:, 3] * (norm[a] * norm[b] + NORM_EPSILON)
    several = (~(clusters.single[a] & clusters.single[b])).nonzero().squeeze(1)
    ends = clusters.total[a[several]], clusters.total[b[several]]
    dot[several] = torch.linalg.vecdot(*ends)
    return dot


def _own(line: tuple[Tensor, ...]) -> list[Tensor]:
    names = (
        columns.L_INNER_P,
        columns.L_FILLED,
        columns.L_LOG_MASS,
        columns.L_LOG_SPARSE,
        columns.L_COHERENCE,
        columns.L_LOG_OUTGOING,
    )
    return [line[name] for name in names]
