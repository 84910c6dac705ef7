"""Training of the networks that say how sure to be: on whole runs of the finished model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.calibration import assignment_truth
from models.certainty import assignment_features, told_of
from models.contraction import pair_score, super_nodes
from models.cut import Cut, cut_at
from models.judging import judge_graph
from models.levels import build_tree
from models.likeness import weighed
from models.metrics import evaluate
from models.network import HiLanderNetwork
from models.prospects import prospects
from models.relational import choose
from models.training.fit import WATCH, Examples, Plan, Step, fit
from models.training.prepared import Episode

# Images of one run; more of them tell little that these do not.
IMAGES = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run and what came of it: `told` [c] as of `told_of`, and `features` [b, f] of some images
    with the `truth` [b] of their assignments; the run's true pairwise `recall`.
    """

    told: NDArray[np.float32]
    features: NDArray[np.float32]
    truth: NDArray[np.float64]
    recall: float


def train_certainty(
    network: HiLanderNetwork,
    episodes: Sequence[Episode],
    count: int,
    plan: Plan,
    seed: int,
    step: Step,
) -> float:
    """Fit both networks to runs over `count` random episodes, told the size of groups and not.

    Every run counts the same. Returns the loss of the assignments.
    """
    rng = np.random.default_rng(seed)
    seen: list[Outcome] = []
    for index in rng.permutation(len(episodes))[:count]:
        for episode in (episodes[index], episodes[index].untold()):
            if (outcome := outcome_of(network, episode, rng)) is not None:
                seen.append(outcome)
            step(WATCH)
    if not seen:
        return 0.0
    fit(network.recall, _of_runs(seen), plan, seed, step)
    return fit(network.assignment, _of_images(seen), plan, seed + 1, step)


@torch.no_grad()
def outcome_of(
    network: HiLanderNetwork, episode: Episode, rng: np.random.Generator
) -> Outcome | None:
    """What comes of a run over an episode; None where nothing merges."""
    view, context = episode.view, episode.context
    counts = np.ones(len(view), np.int32)
    answers = judge_graph(network, view, context)
    score = pair_score(network, context)
    tree = build_tree(*super_nodes(view, answers), score, together=False)
    if not len(tree.left):
        return None
    tree = weighed(tree, view, context)
    family = prospects(tree, counts)
    lam = choose(family, view, context, counts).lam
    top = cut_at(tree, tree.sizes(counts), lam)
    found = Cut(top, lam).labels(counts > 0)
    rows = rng.permutation(len(view))[:IMAGES]
    return Outcome(
        told=told_of(family, lam, context),
        features=assignment_features(tree, counts, top)[rows],
        truth=assignment_truth(episode.labels, found)[rows],
        recall=evaluate(episode.labels, found).pairwise_recall,
    )


def _of_runs(seen: Sequence[Outcome]) -> Examples:
    return Examples(
        np.stack([run.told for run in seen]),
        np.array([run.recall for run in seen], np.float32),
        np.ones(len(seen), np.float32),
    )


def _of_images(seen: Sequence[Outcome]) -> Examples:
    x, weight = [], []
    for run in seen:
        told = np.broadcast_to(run.told, (len(run.truth), len(run.told)))
        x.append(np.concatenate((run.features, told), axis=1))
        weight.append(np.full(len(run.truth), 1 / len(run.truth), np.float32))
    truth = np.concatenate([run.truth for run in seen]).astype(np.float32)
    return Examples(np.concatenate(x), truth, np.concatenate(weight))
