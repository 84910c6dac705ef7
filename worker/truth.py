"""The labelled sample of a collection: images of which a person knows what belongs together.

Every run is scored against it. The scores count what readers see, corrections included. An erased
image leaves the sample; one that is not there (yet) stays in it and is not scored.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from models.metrics import Scores, evaluate
from worker.assignments import NONE, Labels

if TYPE_CHECKING:
    from worker.collection import Collection


def learn(collection: "Collection", words: Sequence[str]) -> Scores | None:
    """Take `words`, image and label in turn, for the sample, instead of the one before.

    Durable when it returns. How the clusters of now do against it; None for an empty sample.
    """
    labels = {label: number for number, label in enumerate(dict.fromkeys(words[1::2]))}
    sample = zip(words[::2], (labels[label] for label in words[1::2]), strict=True)
    with collection.index.transaction(durable=True) as connection:
        connection.execute("DELETE FROM truth")
        connection.executemany("INSERT OR REPLACE INTO truth VALUES (?, ?)", sample)
    return score(collection, collection.assignments.labels)


def forget_images(connection: sqlite3.Connection, images: Iterable[str]) -> None:
    """Take erased images out of the sample, within the caller's transaction."""
    connection.executemany("DELETE FROM truth WHERE image = ?", ((image,) for image in images))


def score(collection: "Collection", cluster: Labels) -> Scores | None:
    """How `cluster` [n], any whole number for each row and -1 for none, does against the sample.

    None where there is no sample.
    """
    with collection.index.transaction(durable=False) as connection:
        sample = connection.execute("SELECT image, label FROM truth").fetchall()
    if not sample:
        return None
    rows = collection.index.row_of([image for image, _ in sample])
    here = [
        (row, label)
        for row, (_, label) in zip(rows, sample, strict=True)
        if row is not None and row < len(cluster) and cluster[row] != NONE
    ]
    places, labels = np.array(here, np.int64).reshape(-1, 2).T
    # Numbered anew, since a run writes its new clusters as numbers below -1.
    groups = np.unique(cluster[places], return_inverse=True)[1]
    return evaluate(labels, groups.astype(np.int64))
