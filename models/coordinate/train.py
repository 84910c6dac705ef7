"""`train_coordinate`: from labelled sets of one encoder to a judged model for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from models.coordinate.episode import collection_of
from models.coordinate.fit import Schedule, fit
from models.coordinate.model import CoordinateModel
from models.coordinate.network import CoordinateNetwork
from models.coordinate.tune import Tuning, best_taus, calibration, first_logits
from models.coordinate.weights import NEIGHBOURS, CoordinateConfig
from models.errors import BadInputError
from models.training.gate import GateFigure, JudgedEdges, judge, judged_part, verdict_of
from models.training.sources import Generator, LabelledSet, held_out_classes

# Shares of the classes: the most are learnt from, some choose tau, a tenth is for the gate.
TUNE_SHARE = 0.2

# A short training: a few epochs at the reference's larger rate.
QUICK_SCHEDULE = Schedule(epochs=15, learning_rate=0.1)

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class TrainedCoordinate:
    """A network, what it is worth, and its mean loss after each epoch."""

    network: CoordinateNetwork
    config: CoordinateConfig
    figures: list[GateFigure]
    losses: list[float]


@dataclass(frozen=True, slots=True)
class Split:
    """The three disjoint parts of a set's classes."""

    learn: NDArray[np.int64]
    tune: NDArray[np.int64]
    held_out: NDArray[np.int64]


def train_coordinate(
    sets: Sequence[LabelledSet],
    *,
    convolution: str = "graphconv",
    hidden: int = 512,
    schedule: Schedule | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> TrainedCoordinate:
    """Train on `sets`, which must be of one encoder. Blocks: minutes to an hour.

    Of each set's classes 70 % are learnt from, 20 % choose tau and calibrate probabilities, 10 %
    are for the gate. The same arguments give the same weights on the same machine. Raises
    `BadInputError` for sets of different dimensions and for a set of too few classes or different
    rows.
    """
    dimension = _dimension(sets)
    schedule = schedule or Schedule()
    report = progress or (lambda _stage, _share: None)
    rng = np.random.default_rng(seed)
    splits = [_split(source, rng) for source in sets]
    torch.manual_seed(seed)
    network = CoordinateNetwork(dimension, hidden, convolution)
    learnt = [
        collection_of(source.of_classes(split.learn))
        for source, split in zip(sets, splits, strict=True)
    ]
    losses: list[float] = []

    def after(loss: float) -> None:
        losses.append(loss)
        report("network", 0.95 * len(losses) / schedule.epochs)

    fit(network, learnt, schedule, seed, after)
    tune = [_tuning(network, source, split) for source, split in zip(sets, splits, strict=True)]
    slope, offset = calibration(tune)
    tau, tau_above = best_taus(network, tune)
    config = CoordinateConfig(
        dimension=dimension,
        hidden=hidden,
        convolution=convolution,
        tau=tau,
        tau_above=tau_above,
        slope=slope,
        offset=offset,
        usable=False,
        edge_auc=None,
        cosine_auc=None,
        cluster_f=0.0,
        linkage_f=0.0,
        seed=seed,
    )
    report("gate", 0.97)
    model = CoordinateModel(network, config, "cpu")
    figures = []
    for source, split in zip(sets, splits, strict=True):
        part = judged_part(source, split.held_out)
        figures.append(judge(model, _judged_edges(network, config, part.among), part))
    verdict = verdict_of(figures)
    judged = replace(
        config,
        usable=verdict.usable,
        edge_auc=verdict.edge_auc,
        cosine_auc=verdict.cosine_auc,
        cluster_f=verdict.cluster_f,
        linkage_f=verdict.linkage_f,
    )
    report("gate", 1.0)
    return TrainedCoordinate(network, judged, figures, losses)


def _split(source: LabelledSet, rng: Generator) -> Split:
    held_out = held_out_classes(source, rng)
    rest = rng.permutation(np.setdiff1d(np.arange(source.classes), held_out))
    count = max(1, round(TUNE_SHARE * source.classes))
    return Split(rest[count:], rest[:count], held_out)


def _tuning(network: CoordinateNetwork, source: LabelledSet, split: Split) -> Tuning:
    """The set without the classes of the gate."""
    known = np.isin(source.labels, split.held_out, invert=True)
    chosen = source.labels[known]
    whole = collection_of(source.rows(known))
    numbers = np.flatnonzero(np.isin(np.unique(chosen), split.tune))  # as `whole` numbers them
    rows = np.flatnonzero(np.isin(whole.labels, numbers))
    return Tuning(whole, first_logits(network, whole), rows)


def _dimension(sets: Sequence[LabelledSet]) -> int:
    first = sets[0]
    for source in sets:
        if source.unit.shape[1] != first.unit.shape[1]:
            raise BadInputError(
                f"{source.name} has {source.unit.shape[1]} dimensions and {first.name} "
                f"{first.unit.shape[1]}; coordinates are learnt for one encoder"
            )
    return int(first.unit.shape[1])


def _judged_edges(
    network: CoordinateNetwork, config: CoordinateConfig, source: LabelledSet
) -> JudgedEdges:
    whole = collection_of(source)
    logit = config.slope * first_logits(network, whole) + config.offset
    return JudgedEdges(
        labels=whole.labels,
        neighbours=whole.neighbours[:, :NEIGHBOURS].numpy(),
        similarity=whole.similarity[:, :NEIGHBOURS].numpy(),
        probability=logit.sigmoid().numpy(),
    )
