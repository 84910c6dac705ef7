"""Edge probabilities of a whole collection, on any device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.background import Background
from models.context import CollectionContext
from models.edge_features import edge_features
from models.folding import Folded
from models.graph import Progress
from models.network import Evidence, HiLanderNetwork, round_two_features
from models.nodes import NodeTable, node_table
from models.triangles import Triangles, triangles_of
from models.view import View


@dataclass(frozen=True, slots=True)
class EdgeReader:
    """Turns rows into features of their first `width` edges.

    `ids` [m] are the rows that its tables describe, sorted; None stands for all rows.
    """

    view: View
    width: int
    background: Background
    quantiles: Tensor
    ids: Tensor | None
    table: NodeTable
    hubness: Tensor

    def places(self, rows: Tensor) -> Tensor:
        """Where `rows` stand in the tables."""
        return rows if self.ids is None else torch.searchsorted(self.ids, rows)

    def read(self, rows: Tensor) -> tuple[Tensor, Triangles, Tensor]:
        """Features [b, w, 38], triangles, and which edges are real [b, w]."""
        neighbours = self.view.neighbours.index_select(0, rows)[:, : self.width]
        valid = neighbours >= 0
        i = self.places(rows)
        j = self.places(torch.where(valid, neighbours.long(), rows[:, None]))
        triangles = triangles_of(self.view, rows, self.width)
        features = edge_features(
            self.view,
            self.background,
            self.quantiles,
            rows,
            (self.table, i, j),
            self.hubness,
            triangles,
        )
        return features, triangles, valid


def reader_of(
    view: View, context: CollectionContext, rows: Tensor | None = None, width: int | None = None
) -> EdgeReader:
    """A reader for the first `width` edges of `rows`; for all, where None."""
    width = view.k if width is None else min(width, view.k)
    background = context.background(view.device)
    ids = None
    if rows is not None:
        neighbours = view.neighbours.index_select(0, rows)[:, :width].long()
        ids = torch.unique(torch.cat((rows, neighbours[neighbours >= 0])))
    every = torch.arange(len(view), device=view.device) if ids is None else ids
    return EdgeReader(
        view=view,
        width=width,
        background=background,
        quantiles=torch.from_numpy(context.quantiles).to(view.device),
        ids=ids,
        table=node_table(view, background, every),
        hubness=_hubness(view, context, every),
    )


def _hubness(view: View, context: CollectionContext, ids: Tensor) -> Tensor:
    """log(1 + in-degree) of rows `ids` [m].

    A row that the context does not know counts those of its neighbours that list it: a new row
    offers itself to nobody else.
    """
    known = torch.from_numpy(context.hubness).to(view.device)
    if len(ids) and int(ids[-1]) < len(known):
        return known.index_select(0, ids)
    out = torch.zeros(len(ids), device=view.device)
    old = ids < len(known)
    out[old] = known.index_select(0, ids[old])
    lists = view.neighbours.index_select(0, ids[~old])  # [m, K]
    theirs = view.neighbours[lists.clamp(min=0).long()]  # [m, K, K]
    listed = (theirs == ids[~old, None, None]).any(2) & (lists >= 0)
    out[~old] = listed.sum(1).float().log1p()
    return out


@torch.no_grad()
def both_rounds(
    network: HiLanderNetwork,
    view: View,
    context: CollectionContext,
    report: Progress = lambda _stage, _share: None,
) -> tuple[Tensor, EdgeReader]:
    """Round 2's probabilities of every edge, [n, K] with 0 at padding, and what read them."""
    from models.triangle_messages import TriangleMessages

    messages = TriangleMessages()
    reader = reader_of(view, context)
    told = context.inputs(view.device)
    judges = Folded.of(network.first, told), Folded.of(network.second, told)
    chunks = view.chunks(torch.arange(len(view), device=view.device))
    first, second = [], []
    for step, rows in enumerate(chunks):
        features, _, valid = reader.read(rows)
        first.append(_judged(judges[0], features, valid))
        report("edges", (step + 1) / (2 * len(chunks)))
    evidence = Evidence.of(view.neighbours, torch.cat(first))
    for step, rows in enumerate(chunks):
        features, triangles, valid = reader.read(rows)
        j = torch.where(valid, view.neighbours.index_select(0, rows).long(), rows[:, None])
        around = round_two_features(messages, triangles, evidence, rows, j)
        second.append(_judged(judges[1], torch.cat((features, around), dim=-1), valid))
        report("edges", (len(chunks) + step + 1) / (2 * len(chunks)))
    return torch.cat(second), reader


def _judged(judge: Folded, features: Tensor, valid: Tensor) -> Tensor:
    """The answers to `features` [b, w, f]: [b, w], 0 where not `valid`."""
    return judge.probability(features.flatten(0, 1)).view(valid.shape) * valid
