"""R1: what a run gets to see of a collection."""

from worker.amend import table_of
from worker.collection import Collection
from worker.gate import GateSettings
from worker.questions import facts
from worker.recluster import generations
from worker.recluster.view import View
from worker.settings import Settings

# Former generations that identity looks back to.
_HISTORY = 3


def view_of(collection: Collection, settings: Settings, run: int) -> View:
    """The collection as it is now, every row with neighbours and a cluster, for run `run`."""
    collection.settle()
    index = collection.index
    former = [
        generation
        for generation in generations.newest(index.directory, _HISTORY)
        if generation.number <= collection.state.generation
    ]
    return View(
        collection=collection.name,
        generation=run,
        n=index.rows,
        dimension=index.dimension,
        k=index.neighbours.shape[1],
        vectors_path=index.vectors_path,
        granularity=settings.told_granularity,
        group_size=settings.group_size,
        neighbours=index.neighbours,
        similarity=index.similarity,
        counts=index.counts,
        labels=collection.assignments.labels,
        provisional=collection.assignments.provisional,
        pinned=collection.clusters.pinned,
        corrections=table_of(collection, index.rows),
        facts=facts(collection, index.rows, settings.told_granularity),
        live=frozenset(collection.clusters.live),
        history=tuple(generation.labels for generation in former),
        weights=settings.weights,
        gate=GateSettings(
            max_changed_share=settings.gate_max_changed,
            max_largest_share=settings.gate_max_largest,
            max_count_factor=settings.gate_max_count_factor,
            min_images=settings.gate_min_images,
        ),
    )
