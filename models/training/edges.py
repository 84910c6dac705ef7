"""Training of the two rounds over edges."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.context import NUMBERS
from models.judging import round_inputs
from models.network import HiLanderNetwork, with_context
from models.training.fit import READ_ONE, READ_TWO, Examples, Plan, Step, fit
from models.training.prepared import Episode

EDGES_PER_EPISODE = 10_000


def train_edges(
    network: HiLanderNetwork, episodes: Sequence[Episode], plan: Plan, seed: int, step: Step
) -> tuple[float, float]:
    """Fit round 1, then round 2 on what round 1 says; returns both losses.

    Every episode has the same weight, whatever its size (times its own weight).
    """
    chosen = [_sample(episode, seed + i) for i, episode in enumerate(episodes)]
    first = _examples(network, episodes, chosen, 1, step)
    loss_one = fit(network.first, first, NUMBERS, plan, seed, step)
    del first
    second = _examples(network, episodes, chosen, 2, step)
    return loss_one, fit(network.second, second, NUMBERS, plan, seed + 1, step)


def _sample(episode: Episode, seed: int) -> NDArray[np.int64]:
    real = np.flatnonzero(episode.real)
    return np.sort(np.random.default_rng(seed).permutation(real)[:EDGES_PER_EPISODE])


def _examples(
    network: HiLanderNetwork,
    episodes: Sequence[Episode],
    chosen: Sequence[NDArray[np.int64]],
    which: int,
    step: Step,
) -> Examples:
    x, target, weight = [], [], []
    for episode, edges in zip(episodes, chosen, strict=True):
        x.append(_inputs(network, episode, edges, which))
        target.append(episode.same.reshape(-1)[edges].astype(np.float32))
        weight.append(np.full(len(edges), episode.weight / max(len(edges), 1), np.float32))
        step(READ_ONE if which == 1 else READ_TWO)
    return Examples(np.concatenate(x), np.concatenate(target), np.concatenate(weight))


def _inputs(
    network: HiLanderNetwork, episode: Episode, edges: NDArray[np.int64], which: int
) -> NDArray[np.float32]:
    """What round `which` reads at `edges` [e] (row * K + place, rising), context included."""
    features = round_inputs(network, episode.view, episode.context, edges, which)
    told = episode.context.inputs(torch.device("cpu"))
    return with_context(torch.from_numpy(features), told).numpy()
