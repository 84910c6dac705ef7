"""Edge probabilities on the CPU: of a few rows by round 1, of a whole collection by both rounds."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.context import CollectionContext
from models.edge_features import FEATURES
from models.edge_table import EdgeTable, chosen_edges, edges_of, edges_of_graph
from models.folding import Folded
from models.graph import Progress
from models.kernels.blocks import in_blocks
from models.kernels.rounds import gather_evidence, spread_answers, write_evidence
from models.network import ROUND_TWO, HiLanderNetwork
from models.view import View

Floats = NDArray[np.float32]


@torch.no_grad()
def first_round(
    network: HiLanderNetwork,
    view: View,
    context: CollectionContext,
    rows: NDArray[np.int64],
    width: int,
) -> NDArray[np.float32]:
    """Round 1's probabilities of the first edges of `rows` [b] alone: [b, w], 0 at padding."""
    edges = edges_of(view, context, rows, width)
    judge = Folded.of(network.first, context.inputs(view.device))
    p = [judge.probability(features) for _, features in edges.features()]
    out = np.zeros((len(rows), width), np.float32)
    if p:
        out[view.neighbours.numpy()[rows, :width] >= 0] = torch.cat(p).numpy()
    return out


@dataclass(frozen=True, slots=True)
class Answers:
    """What both rounds say of the edges of a table: `p` [e] and `r` [e].

    `listed` [n, K] is p where the ends list each other, 0 at padding.
    """

    edges: EdgeTable
    p: Floats
    r: Floats
    listed: Floats


def judge_graph(
    network: HiLanderNetwork,
    view: View,
    context: CollectionContext,
    report: Progress = lambda _stage, _share: None,
) -> Answers:
    """Round 2's probability of every edge, as `models.edges.both_rounds`, each edge once."""
    told = context.inputs(view.device)
    return judge_table(network, edges_of_graph(view, context), told, report)


def judge_table(
    network: HiLanderNetwork,
    edges: EdgeTable,
    told: torch.Tensor,
    report: Progress = lambda _stage, _share: None,
) -> Answers:
    """Round 2's probability of every edge of a graph's table, under `told` [18].

    The table does not depend on `told`, so it serves many of these.
    """
    p, r = np.empty(len(edges), np.float32), np.empty(len(edges), np.float32)
    first, second = Folded.of(network.first, told), Folded.of(network.second, told)

    def judge_first(start: int, stop: int) -> None:
        for block, x in edges.features(start, stop):
            p[block] = first.probability(x).numpy()
            r[block] = x[:, 0].numpy()

    in_blocks(judge_first, len(edges), lambda share: report("edges", share / 2))
    listed = _listed(edges, p)
    evidence = _evidence(edges, listed)

    def judge_second(start: int, stop: int) -> None:
        for block, x in edges.features(start, stop, more=ROUND_TWO):
            _write_evidence(edges, block, listed, evidence, x.numpy())
            p[block] = second.probability(x).numpy()

    in_blocks(judge_second, len(edges), lambda share: report("edges", 0.5 + share / 2))
    return Answers(edges, p, r, _listed(edges, p))


def round_inputs(
    network: HiLanderNetwork,
    view: View,
    context: CollectionContext,
    wanted: NDArray[np.int64],
    which: int,
) -> Floats:
    """What round `which` (1, 2) reads at the edges `wanted` [e], each row * K + place, rising."""
    edges = chosen_edges(view, context, wanted)
    if which == 1:
        return np.concatenate([x.numpy().copy() for _, x in edges.features()])
    every = edges_of_graph(view, context)
    first = Folded.of(network.first, context.inputs(view.device))
    p = torch.cat([first.probability(x) for _, x in every.features()]).numpy()
    listed = _listed(every, p)
    evidence, parts = _evidence(edges, listed), []
    for block, x in edges.features(more=ROUND_TWO):
        _write_evidence(edges, block, listed, evidence, x.numpy())
        parts.append(x.numpy().copy())
    return np.concatenate(parts)


def _evidence(edges: EdgeTable, listed: Floats) -> Floats:
    """What round 1's answers `listed` [n, K] say around every row: [n, 4]."""
    evidence = np.empty((len(listed), 4), np.float32)
    gather_evidence(edges.neighbours, listed, evidence)
    return evidence


def _listed(edges: EdgeTable, p: Floats) -> Floats:
    out = np.zeros(edges.neighbours.shape, np.float32)
    table = (edges.i, edges.j, edges.place, edges.back)
    in_blocks(lambda start, stop: spread_answers(edges.ids, table, start, stop, p, out), len(p))
    return out


def _write_evidence(
    edges: EdgeTable, block: slice, listed: Floats, evidence: Floats, out: Floats
) -> None:
    table = (edges.i, edges.j, edges.place)
    write_evidence(
        edges.ids,
        table,
        block.start,
        block.stop,
        edges.neighbours,
        listed,
        evidence,
        FEATURES,
        out,
    )
