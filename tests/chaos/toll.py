"""What a crash cost: images that are missing, made up, there twice or without a vector."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from index import CollectionIndex, IndexSettings, NewImage

# A narrow HNSW, so that a graph which crashes had harmed would show: its recall is below one.
SETTINGS = IndexSettings(threads=1, m=6, ef_construction=30, ef_search=30)
SAMPLE_ROWS = 500


@dataclass
class Toll:
    """How many images of all collections are wrong, in the catalog or in Redis."""

    missing: int = 0
    phantom: int = 0
    duplicate: int = 0
    zeroed: int = 0
    wrong: int = 0  # another vector than the last that was sent


def count(index, published, images, toll):
    """Add what is wrong with one collection; `images` is what must be there, id -> vector."""
    rows = dict(index.iterate())
    for found in (set(rows), set(published.states)):
        toll.missing += len(set(images) - found)
        toll.phantom += len(found - set(images))
    toll.duplicate += sum(n - 1 for n in published.places.values())
    listed = Counter(image for members in published.members.values() for image in members)
    toll.duplicate += sum(n - 1 for n in listed.values())
    shared = np.bincount(list(rows.values()), minlength=index.rows)
    toll.duplicate += int(np.abs(shared - index.counts).sum())
    for image in set(rows) & set(images):
        vector = index.vectors[rows[image]]
        toll.zeroed += not vector.any()
        toll.wrong += not np.allclose(vector, images[image], atol=1e-6)


def recall(index):
    """Share of the true neighbours of a sample of live rows that the kept graph lists."""
    live = np.flatnonzero(index.counts)
    sample = live[:: max(1, len(live) // SAMPLE_ROWS)]
    k = min(index.neighbours.shape[1], len(live) - 1)
    cosine = index.vectors[sample] @ index.vectors[live].T
    cosine[np.arange(len(sample)), np.searchsorted(live, sample)] = -2
    least = -np.partition(-cosine, k - 1, axis=1)[:, k - 1]
    found = (index.similarity[sample] >= least[:, None] - 1e-6).sum(axis=1)
    return float(np.minimum(found, k).mean() / k)


def recall_without_crashes(folder, images):
    """The same of a collection into which the same images went without any trouble."""
    vectors = list(images.items())
    index = CollectionIndex.open(folder, settings=SETTINGS, dimension=len(vectors[0][1]))
    for start in range(0, len(vectors), 50):
        batch = [NewImage(id_, vector) for id_, vector in vectors[start : start + 50]]
        index.insert(index.log(batch, {}).new_rows)
    found = recall(index)
    assert index._live.held.hnsw is not None, "nothing was searched by HNSW"
    index.close()
    return found
