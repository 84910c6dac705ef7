"""Training of the two rounds over edges."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.judging import round_inputs
from models.network import HiLanderNetwork, with_context
from models.training.fit import READ_ONE, READ_TWO, Examples, Plan, Step, fit
from models.training.prepared import Episode

EDGES_PER_EPISODE = 10_000

Sample = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Edges, row * K + place and rising, where the size of groups is told, and where it is not."""


def train_edges(
    network: HiLanderNetwork, episodes: Sequence[Episode], plan: Plan, seed: int, step: Step
) -> tuple[float, float]:
    """Fit round 1, then round 2 on what round 1 says; returns both losses.

    Every episode has the same weight, whatever its size (times its own weight). Edges for which
    nobody told the size of groups are read from a run that was not told it either.
    """
    rng = np.random.default_rng(seed)
    chosen = [_sample(episode, plan.size_unknown, rng) for episode in episodes]
    first = _examples(network, episodes, chosen, 1, step)
    loss_one = fit(network.first, first, plan, seed, step)
    del first
    second = _examples(network, episodes, chosen, 2, step)
    return loss_one, fit(network.second, second, plan, seed + 1, step)


def _sample(episode: Episode, unknown: float, rng: np.random.Generator) -> Sample:
    edges = rng.permutation(np.flatnonzero(episode.real))[:EDGES_PER_EPISODE]
    told, untold = np.split(edges, [round(len(edges) * (1 - unknown))])
    return np.sort(told), np.sort(untold)


def _examples(
    network: HiLanderNetwork,
    episodes: Sequence[Episode],
    chosen: Sequence[Sample],
    which: int,
    step: Step,
) -> Examples:
    x, target, weight = [], [], []
    for episode, sample in zip(episodes, chosen, strict=True):
        count = sum(len(edges) for edges in sample)
        for part, edges in zip((episode, episode.untold()), sample, strict=True):
            x.append(_inputs(network, part, edges, which))
            target.append(episode.same.reshape(-1)[edges].astype(np.float32))
            weight.append(np.full(len(edges), episode.weight / max(count, 1), np.float32))
        step(READ_ONE if which == 1 else READ_TWO)
    return Examples(np.concatenate(x), np.concatenate(target), np.concatenate(weight))


def _inputs(
    network: HiLanderNetwork, episode: Episode, edges: NDArray[np.int64], which: int
) -> NDArray[np.float32]:
    """What round `which` reads at `edges` [e] (row * K + place, rising), context included."""
    features = round_inputs(network, episode.view, episode.context, edges, which)
    told = episode.context.inputs(torch.device("cpu"))
    return with_context(torch.from_numpy(features), told).numpy()
