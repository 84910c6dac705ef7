"""Training of the pair network, on policy: on the clusters that the model itself builds."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from models.asking import Score
from models.contraction import pair_score, super_nodes
from models.judging import judge_graph
from models.levels import FLOOR, build_tree
from models.network import HiLanderNetwork, with_context
from models.pair_features import pair_features
from models.pairs import Floats, Pairs, Rows
from models.supernodes import Clusters
from models.training.fit import WATCH, Examples, Plan, Step, fit
from models.training.prepared import Episode

# Pairs kept of each level: some that are the best of one of their ends, some that are not.
BEST_PER_LEVEL = 60
OTHERS_PER_LEVEL = 30
FIRST_FLOOR = 0.1
# A pair counts by the image pairs it decides, to this power.
SIZE_POWER = 0.25
FEW = 8


@dataclass(slots=True)
class Collector:
    """Watches one hierarchy grow and keeps pairs with the true share of matching image pairs."""

    labels: NDArray[np.int64]
    rng: np.random.Generator
    features: list[NDArray[np.float32]] = field(default_factory=list)
    targets: list[Floats] = field(default_factory=list)
    image_pairs: list[Floats] = field(default_factory=list)

    def __call__(
        self, clusters: Clusters, pairs: Pairs, best: NDArray[np.bool_], representative: Rows
    ) -> None:
        """An `Observer` of `build_tree`."""
        index = np.concatenate(
            (
                self.rng.permutation(np.flatnonzero(best))[:BEST_PER_LEVEL],
                self.rng.permutation(np.flatnonzero(~best))[:OTHERS_PER_LEVEL],
            )
        )
        chosen = pairs.take(index)
        self.features.append(pair_features(clusters, chosen))
        self.targets.append(matching_share(chosen, self.labels, representative))
        self.image_pairs.append(clusters.size[chosen.a] * clusters.size[chosen.b])


def matching_share(pairs: Pairs, labels: NDArray[np.int64], representative: Rows) -> Floats:
    """The share of image pairs between a and b that are of one class, for every pair [e]."""
    wanted, place = np.unique(np.concatenate((pairs.a, pairs.b)), return_inverse=True)
    at = np.searchsorted(wanted, representative).clip(max=max(len(wanted) - 1, 0))
    member = wanted[at] == representative if len(wanted) else np.zeros(len(labels), np.bool_)
    count = np.zeros((len(wanted), int(labels.max(initial=-1)) + 1))
    np.add.at(count, (at[member], labels[member]), 1.0)
    a, b = count[place[: len(pairs)]], count[place[len(pairs) :]]
    share: Floats = (a * b).sum(1) / (a.sum(1) * b.sum(1))
    return share


def mean_p(_clusters: Clusters, pairs: Pairs) -> Floats:
    """The first policy's score: the mean p of the cross edges."""
    return pairs.p / pairs.count


def saturating_p(clusters: Clusters, pairs: Pairs) -> Floats:
    """The other first policy: p against the edges that there might be, a few for each member."""
    a, b = clusters.size[pairs.a], clusters.size[pairs.b]
    visible = np.minimum(a, b) * np.minimum(np.maximum(a, b), FEW)
    return np.asarray(np.minimum(pairs.p / visible, 1))


def train_pairs(
    network: HiLanderNetwork,
    episodes: Sequence[Episode],
    per_round: Sequence[int],
    plan: Plan,
    seed: int,
    step: Step,
) -> float:
    """Fit the pair network in rounds, each on hierarchies of the one before; returns the loss.

    Round r watches `per_round[r]` random episodes. What earlier rounds saw is kept.
    """
    x: list[NDArray[np.float32]] = []
    target: list[NDArray[np.float32]] = []
    weight: list[NDArray[np.float32]] = []
    loss = 0.0
    for turn, count in enumerate(per_round):
        rng = np.random.default_rng(seed + 10 * turn)
        for index in rng.permutation(len(episodes))[:count]:
            episode = episodes[index]
            if rng.random() < plan.size_unknown:
                episode = episode.untold()
            seen = _watch(network, episode, learnt=turn > 0, rng=rng)
            x.append(seen.x)
            target.append(seen.target)
            weight.append(seen.weight)
            step(WATCH)
        examples = Examples(np.concatenate(x), np.concatenate(target), np.concatenate(weight))
        loss = fit(network.pair, examples, plan, seed + turn, step)
    return loss


@torch.no_grad()
def _watch(
    network: HiLanderNetwork, episode: Episode, *, learnt: bool, rng: np.random.Generator
) -> Examples:
    """Build an episode's hierarchy and keep what was seen on the way."""
    answers = judge_graph(network, episode.view, episode.context)
    collector = Collector(episode.labels, rng)
    policies: list[Score] = [mean_p, saturating_p]
    if learnt:
        policies = [pair_score(network, episode.context)]
    for policy in policies:
        clusters, pairs = super_nodes(episode.view, answers)
        floor = FLOOR if learnt else FIRST_FLOOR
        build_tree(
            clusters, pairs, policy, floor=floor, together=False, rise=None, observe=collector
        )
    features = torch.from_numpy(np.concatenate(collector.features))
    each = episode.weight / np.sqrt(max(len(features), 1))
    image_pairs = np.concatenate(collector.image_pairs)
    return Examples(
        with_context(features, episode.context.inputs(features.device)).numpy(),
        np.concatenate(collector.targets).astype(np.float32),
        (each * image_pairs**SIZE_POWER).astype(np.float32),
    )
