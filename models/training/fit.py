"""Fitting one of the networks, with what collections are told of themselves made unreliable."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from models.conditions import CONDITIONS, UNKNOWN_SIZE
from models.context import NUMBERS
from models.network import CONTEXT, Logit

Step = Callable[[int], None]
"""Called with the work just done, counted in optimiser steps."""

# What else costs time, in optimiser steps: one episode cut, graphed and measured; read for round
# 1, read for round 2, its hierarchy built and watched, its edges judged.
PREPARE, READ_ONE, READ_TWO, WATCH, JUDGE = 20, 10, 25, 60, 40

# About so many losses are kept of a fit.
HISTORY = 200


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how hard to fit; the noise is in standard deviations, shares are of rows, but
    for `size_unknown`: in so many episodes or of their edges nobody told the size of groups.
    """

    steps: int
    batch: int = 4_096
    learning_rate: float = 4e-3
    weight_decay: float = 1e-3
    number_noise: float = 0.3
    number_dropout: float = 0.25
    size_noise: float = 0.12
    size_unknown: float = 0.45
    word_noise: float = 0.05
    feature_noise: float = 0.0
    word_unknown: float = 0.1


@dataclass(frozen=True, slots=True)
class Examples:
    """`x` float32 [e, f], whose last columns are context numbers and conditions; soft `target`
    [e] in 0..1; `weight` [e].
    """

    x: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]


def fit(network: Logit, examples: Examples, plan: Plan, seed: int, step: Step) -> float:
    """Fit `network` in place; returns the running mean of the loss.

    Each batch sees the context numbers and the conditions with noise, and sometimes not at all.
    """
    torch.manual_seed(seed)
    for layer in network.mlp.linear:
        layer.reset_parameters()
    x = torch.from_numpy(examples.x)
    target = torch.from_numpy(examples.target)
    weight = torch.from_numpy(examples.weight / examples.weight.mean())
    network.mean.copy_(x.mean(0, dtype=torch.float64))
    network.scale.copy_(x.std(0, correction=0) + 1e-4)
    network.train()
    optimiser = torch.optim.AdamW(
        network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, plan.learning_rate, total_steps=plan.steps, pct_start=0.1
    )
    running = 0.0
    network.history = []
    for count in range(plan.steps):
        chosen = torch.randint(len(x), (plan.batch,))
        logit = network(_blurred(x[chosen], network, plan))
        each = binary_cross_entropy_with_logits(logit, target[chosen], reduction="none")
        loss = (each * weight[chosen]).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own signature
        optimiser.step()
        schedule.step()
        running = loss.item() if count == 0 else 0.99 * running + 0.01 * loss.item()
        if count % max(1, plan.steps // HISTORY) == 0:
            network.history.append(running)
        step(1)
    network.eval()
    return running


def _blurred(x: Tensor, network: Logit, plan: Plan) -> Tensor:
    """`x` [e, f] made unreliable, above all in its last columns; changed in place."""
    e = len(x)
    noise = torch.full((CONTEXT,), plan.number_noise)
    noise[NUMBERS] = plan.size_noise
    noise[NUMBERS + 1 :] = plan.word_noise
    untold = x[:, -CONDITIONS] == UNKNOWN_SIZE
    features = x[:, :-CONTEXT]
    features += plan.feature_noise * network.scale[:-CONTEXT] * torch.randn_like(features)
    x[:, -CONTEXT:] += noise * network.scale[-CONTEXT:] * torch.randn(e, CONTEXT)
    dropped = torch.rand(e) < plan.number_dropout
    x[dropped, -CONTEXT:-CONDITIONS] = network.mean[-CONTEXT:-CONDITIONS]
    x[untold, -CONDITIONS] = UNKNOWN_SIZE
    x[torch.rand(e) < plan.word_unknown, -CONDITIONS + 1 :] = 1 / (CONDITIONS - 1)
    return x
