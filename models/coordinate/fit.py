"""Training as in the reference: gradient descent over batches of nodes of every level in turn."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from models.coordinate.episode import Collection, Lesson, first_lesson, policy_lessons
from models.coordinate.linkage import logits_of
from models.coordinate.network import CoordinateNetwork


@dataclass(frozen=True, slots=True)
class Schedule:
    """The reference's schedule: stochastic gradient descent whose rate falls along a cosine.

    A hierarchy is trained on for every entry of `neighbours`, with as many levels as `levels`
    says. Upper levels join after a share `alone` of the epochs and are built anew, `rebuilds`
    times in all, from what the network has become.
    """

    epochs: int = 250
    batch: int = 4_096
    learning_rate: float = 0.01
    last_rate: float = 1e-5
    momentum: float = 0.9
    weight_decay: float = 1e-5
    neighbours: tuple[int, ...] = (9, 4, 2)
    levels: tuple[int, ...] = (2, 3, 4)
    alone: float = 0.2
    rebuilds: int = 4


Epoch = Callable[[float], None]
"""Called after each epoch with its mean loss."""


def fit(
    network: CoordinateNetwork,
    sources: Sequence[Collection],
    schedule: Schedule,
    seed: int,
    report: Epoch,
) -> None:
    """Fit `network` in place. Raises nothing; blocks for minutes to hours."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.SGD(
        network.parameters(),
        schedule.learning_rate,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
    )
    first = [first_lesson(source, k) for source in sources for k in schedule.neighbours]
    upper: list[Lesson] = []
    network.train()
    for epoch in range(schedule.epochs):
        if epoch in rebuild_epochs(schedule):
            upper = _upper(network, sources, schedule, rng)
        losses = []
        for done, (lesson, rows) in enumerate(_batches([*first, *upper], schedule.batch, rng)):
            steps = _steps(first, schedule.batch) * (len(first) + len(upper))
            _set_rate(optimiser, schedule, (epoch + done / steps) / schedule.epochs)
            loss = lesson_loss(network, lesson, rows, rng)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own signature
            optimiser.step()
            losses.append(loss.item())
        report(float(np.mean(losses)))
    network.eval()


def rebuild_epochs(schedule: Schedule) -> set[int]:
    """The epochs at whose start the upper levels are built anew."""
    shares = np.linspace(schedule.alone, 1, schedule.rebuilds, endpoint=False)
    return {max(1, int(share * schedule.epochs)) for share in shares}


def lesson_loss(
    network: CoordinateNetwork, lesson: Lesson, rows: Tensor, rng: np.random.Generator
) -> Tensor:
    """MSE of the densities, and cross-entropy of the edges to denser nodes, classes balanced."""
    level = lesson.level
    neighbours = level.neighbours[rows]
    logit = logits_of(network, lesson.vectors, level, rows, neighbours)
    valid = neighbours >= 0
    signed = level.similarity[rows] * (2 * logit.sigmoid() - 1) * valid
    loss = mse_loss(signed.sum(1) / valid.sum(1).clamp(min=1), lesson.density[rows])
    same = lesson.same[rows]
    chosen = balanced(lesson.asked[rows], same, rng)
    if not len(chosen):
        return loss
    asked = logit.reshape(-1)[chosen]
    return loss + binary_cross_entropy_with_logits(asked, same.reshape(-1)[chosen].float())


def balanced(asked: Tensor, same: Tensor, rng: np.random.Generator) -> Tensor:
    """Places of edges that are asked, as many true ones as false ones where there are both."""
    true = (asked & same).reshape(-1).nonzero().squeeze(1)
    false = (asked & ~same).reshape(-1).nonzero().squeeze(1)
    fewer = min(len(true), len(false))
    return torch.cat(
        [part[torch.from_numpy(rng.permutation(len(part))[:fewer])] for part in (true, false)]
    )


def _upper(
    network: CoordinateNetwork,
    sources: Sequence[Collection],
    schedule: Schedule,
    rng: np.random.Generator,
) -> list[Lesson]:
    network.eval()
    found = [
        lesson
        for source in sources
        for k, levels in zip(schedule.neighbours, schedule.levels, strict=True)
        for lesson in policy_lessons(network, source, k, levels, rng)
    ]
    network.train()
    return found


def _steps(first: Sequence[Lesson], batch: int) -> int:
    return max(math.ceil(len(lesson.level) / batch) for lesson in first)


def _batches(
    lessons: Sequence[Lesson], batch: int, rng: np.random.Generator
) -> Iterator[tuple[Lesson, Tensor]]:
    """One epoch: every lesson as often as the largest has batches, in turn."""
    steps = _steps(lessons, batch)
    orders = [rng.permutation(len(lesson.level)) for lesson in lessons]
    for step in range(steps):
        for lesson, order in zip(lessons, orders, strict=True):
            turn = step % math.ceil(len(order) / batch)
            yield lesson, torch.from_numpy(order[turn * batch : (turn + 1) * batch])


def _set_rate(optimiser: torch.optim.Optimizer, schedule: Schedule, share: float) -> None:
    wave = (1 + math.cos(math.pi * min(share, 1.0))) / 2
    for group in optimiser.param_groups:
        group["lr"] = schedule.last_rate + (schedule.learning_rate - schedule.last_rate) * wave
