"""What strangers look like in this collection: the frame in which similarities are read.

A cosine of .6 means "the same person" to one encoder and nothing to another. Centred at the
collection's mean and divided by the spread that a row's similarity to strangers has, it means the
same to all.
"""

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from models.kernels.constants import NORM_EPSILON
from models.view import View

# Rows whose similarities to a row define its spread.
LANDMARKS = 4_096
# In more dimensions fewer do, so that no cost grows with the square of the dimension.
MOST_FACTORS = 1_024
# A row's spread counts for no less than this share of the median.
SPREAD_FLOOR = 0.3
SPREAD_EPSILON = 1e-8
BLOCK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Background:
    """`mean` [d]; `factor` [f, d], f <= min(d, 1,024), with |factor u| = standard deviation of
    <u, landmark>.

    `rows` [m, 3] holds what `measure` gives for the first m rows of the collection; later rows
    are measured when they are met.
    """

    mean: Tensor
    factor: Tensor
    spread_floor: float
    rows: Tensor

    def measure(self, vectors: Tensor) -> Tensor:
        """Per row of `vectors` [m, d]: <x, mean>, |x - mean| and its spread; [m, 3]."""
        centred = vectors - self.mean  # [m, d]
        spread = ((centred @ self.factor.T).square().sum(1) + SPREAD_EPSILON).sqrt()  # [m]
        return torch.stack(
            (vectors @ self.mean, centred.norm(dim=1), spread.clamp(min=self.spread_floor)), dim=1
        )

    def lookup(self, vectors: Tensor, ids: Tensor) -> Tensor:
        """`measure` of rows `ids` [...] of the collection `vectors` [n, d]; [..., 3]."""
        flat = ids.reshape(-1)
        known = len(self.rows)
        if known >= len(vectors):
            return self.rows.index_select(0, flat).view(*ids.shape, 3)
        out = torch.zeros((len(flat), 3), device=flat.device)
        new = flat >= known
        out[~new] = self.rows.index_select(0, flat[~new])
        fresh, place = torch.unique(flat[new], return_inverse=True)
        out[new] = self.measure(vectors.index_select(0, fresh)).index_select(0, place)
        return out.view(*ids.shape, 3)

    def standardise(self, view: View, rows: Tensor) -> tuple[Tensor, Tensor]:
        """R and Z of the edges of `rows` [m], each [m, K]; 0 at padding.

        With u = x - mean: R_ij = cos(u_i, u_j), Z_ij = <u_i, u_j> / sqrt(spread_i spread_j).
        """
        neighbours = view.neighbours.index_select(0, rows).long()  # [m, K]
        similarity = view.similarity.index_select(0, rows)  # [m, K]
        along, norm, spread = self.lookup(view.vectors, rows)[:, None].unbind(-1)  # [m, 1]
        along_j, norm_j, spread_j = self.lookup(view.vectors, neighbours.clamp(min=0)).unbind(-1)
        inner = similarity - along - along_j + self.mean.square().sum()  # <u_i, u_j>, [m, K]
        valid = neighbours >= 0
        r = (inner / (norm * norm_j + NORM_EPSILON)).clamp(-1, 1)
        z = inner / (spread * spread_j).sqrt()
        return r * valid, z * valid


def background_of(vectors: Tensor, alive: Tensor, landmarks: Tensor, rows_known: int) -> Background:
    """Measure the collection `vectors` [n, d].

    `alive` [a] are the rows that count towards the mean, `landmarks` [l] those that spreads are
    measured against; the first `rows_known` rows are measured at once.
    """
    d = vectors.shape[1]
    total = torch.zeros(d, dtype=torch.float64, device=vectors.device)
    for part in torch.split(alive, BLOCK_ROWS):
        total += vectors.index_select(0, part).sum(0, dtype=torch.float64)
    mean = (total / max(len(alive), 1)).float()
    if d > MOST_FACTORS:
        landmarks = landmarks[:: max(1, ceil(len(landmarks) / MOST_FACTORS))]
    factor = _factor(vectors.index_select(0, landmarks) - mean)
    frame = Background(mean, factor, 0.0, torch.zeros((0, 3), device=vectors.device))
    spread = frame.measure(vectors.index_select(0, landmarks))[:, 2]
    floor = SPREAD_FLOOR * float(spread.median()) if len(spread) else 0.0
    frame = Background(mean, factor, floor, frame.rows)
    parts = [frame.measure(part) for part in torch.split(vectors[:rows_known], BLOCK_ROWS)]
    return Background(mean, factor, floor, torch.cat([frame.rows, *parts]))


def _factor(sample: Tensor) -> Tensor:
    """F [min(l, d), d] with |F u|^2 = u' C u, C the covariance of `sample` [l, d]."""
    if not len(sample):
        return sample
    factor: Tensor = (sample - sample.mean(0)).double() / len(sample) ** 0.5
    if len(factor) > factor.shape[1]:  # a smaller one does
        value, basis = torch.linalg.eigh(factor.T @ factor)
        factor = value.clamp(min=0).sqrt()[:, None] * basis.T
    return factor.float()
