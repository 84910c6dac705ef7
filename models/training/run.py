"""`train`: the whole of meta-training, from labelled sets to a judged network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.errors import BadInputError
from models.judging import judge_graph
from models.network import HiLanderNetwork
from models.relational import RelationalModel
from models.training.certainty import train_certainty
from models.training.drawings import drawings
from models.training.edges import train_edges
from models.training.episodes import SMALL_ROWS, union, variation, whole
from models.training.fit import JUDGE, PREPARE, READ_ONE, READ_TWO, WATCH, Plan
from models.training.gate import (
    GateFigure,
    GateVerdict,
    JudgedEdges,
    judge,
    judged_part,
    verdict_of,
)
from models.training.kinds import FEWEST_CLASSES, kinds
from models.training.pairs import train_pairs
from models.training.prepared import Episode, prepare
from models.training.shots import shots
from models.training.sources import Generator, LabelledSet, held_out_classes
from models.training.synthetic import easy, synthetic
from models.weights import Config

SMALLEST_EPISODE = 20

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of all work that is done, 0..1."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much of everything.

    `small` tiny collections are cut from each set, which count `small_weight`; the classes of
    `easy` made-up ones are easily told apart. `shots` collections of versions of its pictures
    are made of each set whose classes are not that already, `kinds` of joined classes of each set
    of many things; `unions` are of two sets each. How sure to be is learnt from runs over
    `certainty_episodes` of all these but the made-up ones, which are like no encoder.
    """

    hidden: int = 96
    synthetic: int = 80
    drawings: int = 80
    small: int = 1
    easy: int = 300
    shots: int = 2
    kinds: int = 1
    unions: int = 30
    small_weight: float = 0.3
    drawings_weight: float = 0.5
    edge_plan: Plan = field(default_factory=lambda: Plan(steps=10_000))
    pair_plan: Plan = field(default_factory=lambda: Plan(steps=4_000, feature_noise=0.2))
    pair_rounds: tuple[int, ...] = (150, 250, 250)
    certainty_plan: Plan = field(default_factory=lambda: Plan(steps=1_500, feature_noise=0.3))
    certainty_episodes: int = 400
    # Scales each set's own number of episodes.
    variations: float = 2.0


QUICK = Recipe(
    hidden=48,
    synthetic=4,
    drawings=4,
    easy=4,
    shots=1,
    unions=2,
    edge_plan=Plan(steps=400),
    pair_plan=Plan(steps=300),
    pair_rounds=(8, 8, 8),
    certainty_plan=Plan(steps=200),
    certainty_episodes=8,
    variations=0.5,
)


@dataclass(frozen=True, slots=True)
class Trained:
    """A network, what it is worth, and what it was made from."""

    network: HiLanderNetwork
    config: Config
    figures: list[GateFigure]
    episodes: int
    rows: int
    edge_loss: float
    pair_loss: float
    certainty_loss: float


class _Work:
    """How much of all work is done, counted in optimiser steps."""

    def __init__(
        self, recipe: Recipe, sets: int, episodes: int, real: int, report: Progress
    ) -> None:
        watched = sum(min(count, episodes) for count in recipe.pair_rounds)
        watched += 2 * min(recipe.certainty_episodes, real)
        fits = 2 * recipe.edge_plan.steps + len(recipe.pair_rounds) * recipe.pair_plan.steps
        fits += 2 * recipe.certainty_plan.steps
        reads = episodes * (PREPARE + READ_ONE + READ_TWO)
        self.total = reads + watched * WATCH + fits + sets * JUDGE
        self.done = 0
        self.stage = "episodes"
        self.report = report

    def step(self, size: int) -> None:
        """Work of `size` optimiser steps was done."""
        self.done += size
        self.report(self.stage, min(1.0, self.done / self.total))


def train(
    sets: Sequence[LabelledSet],
    *,
    seed: int = 0,
    recipe: Recipe | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Meta-train on `sets`. Blocks: minutes to half an hour on two cores.

    Part of each set's classes is held out; the result is usable only if it passes the
    gate there (`models.training.gate`). The same sets, seed and recipe give the
    same weights on the same machine. Raises `BadInputError` for a set of too few classes
    or different rows, and where all sets have too few rows.
    """
    recipe = recipe or Recipe()
    rng = np.random.default_rng(seed)
    split = [(source, held_out_classes(source, rng)) for source in sets]
    known = [source.without(held_out) for source, held_out in split]
    parts = [part for source in known for part in cut_episodes(source, recipe, rng)]
    parts += [union(*two_of(known, rng), rng) for _ in range(recipe.unions) if len(known) > 1]
    real = len(parts)
    if not real:
        raise BadInputError(
            f"{', '.join(source.name for source in sets)}: too few rows, of classes that are not "
            f"held out, to learn from; at least one set needs {SMALLEST_EPISODE} that differ"
        )
    drawn = [drawings(rng) for _ in range(recipe.drawings)]
    parts += [part.weighing(recipe.drawings_weight) for part in drawn]
    parts += [synthetic(rng) for _ in range(recipe.synthetic)]
    parts += [easy(rng) for _ in range(recipe.easy)]
    work = _Work(recipe, len(sets), len(parts), real, progress or (lambda _stage, _share: None))
    episodes: list[Episode] = []
    for part in parts:
        episodes.append(prepare(part))
        work.step(PREPARE)
    network = HiLanderNetwork(recipe.hidden)
    work.stage = "edge networks"
    _, edge_loss = train_edges(network, episodes, recipe.edge_plan, seed, work.step)
    work.stage = "pair network"
    pair_loss = train_pairs(
        network, episodes, recipe.pair_rounds, recipe.pair_plan, seed, work.step
    )
    work.stage = "certainty"
    certainty_loss = train_certainty(
        network, episodes[:real], recipe.certainty_episodes, recipe.certainty_plan, seed, work.step
    )
    work.stage = "gate"
    model = RelationalModel(network, _config(recipe, seed, verdict_of([])), "cpu")
    figures = []
    for source, held_out in split:
        judged = judged_part(source, held_out)
        figures.append(judge(model, _judged_edges(network, judged.among), judged))
        work.step(JUDGE)
    config = _config(recipe, seed, verdict_of(figures))
    return Trained(
        network=network,
        config=config,
        figures=figures,
        episodes=len(episodes),
        rows=sum(len(episode.labels) for episode in episodes),
        edge_loss=edge_loss,
        pair_loss=pair_loss,
        certainty_loss=certainty_loss,
    )


def cut_episodes(source: LabelledSet, recipe: Recipe, rng: Generator) -> list[LabelledSet]:
    """The set itself, its variations and its tiny collections; finer and coarser groups of it."""
    count = max(1, round(source.episodes * recipe.variations))
    parts = [whole(source, rng), *(variation(source, rng) for _ in range(count))]
    tiny = [variation(source, rng, SMALL_ROWS) for _ in range(recipe.small)]
    parts += [part.weighing(recipe.small_weight) for part in tiny]
    if source.granularity != "shot":
        parts += [shots(source, rng) for _ in range(recipe.shots)]
    if source.granularity == "thing" and source.classes >= FEWEST_CLASSES:
        parts += [kinds(source, rng) for _ in range(recipe.kinds)]
    return [part for part in parts if _teaches(part)]


def _teaches(part: LabelledSet) -> bool:
    """Of several classes, large enough, and not all equal: one row has no edges."""
    differ = bool((part.unit != part.unit[:1]).any())
    return differ and len(part) >= SMALLEST_EPISODE and part.classes > 1


def two_of(sets: Sequence[LabelledSet], rng: Generator) -> tuple[LabelledSet, LabelledSet]:
    """Two of the sets, at random."""
    one, other = rng.permutation(len(sets))[:2]
    return sets[one], sets[other]


def _judged_edges(network: HiLanderNetwork, source: LabelledSet) -> JudgedEdges:
    episode = prepare(source).untold()
    answers = judge_graph(network, episode.view, episode.context)
    return JudgedEdges(
        labels=episode.labels,
        neighbours=episode.view.neighbours.numpy(),
        similarity=episode.view.similarity.numpy(),
        probability=answers.listed,
    )


def _config(recipe: Recipe, seed: int, verdict: GateVerdict) -> Config:
    return Config(
        hidden=recipe.hidden,
        usable=verdict.usable,
        edge_auc=verdict.edge_auc,
        cosine_auc=verdict.cosine_auc,
        cluster_f=verdict.cluster_f,
        linkage_f=verdict.linkage_f,
        seed=seed,
    )
