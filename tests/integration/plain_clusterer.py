"""A clusterer of a few lines: images are together when a path of similar neighbours joins them.

`PLAIN_CLUSTERS=alternate` joins clusters in pairs in every second run, `one` puts all in one;
`PLAIN_SECONDS` makes a run take that long.
"""

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worker.recluster.child import main


class Context:
    def save(self, path: Path):
        """Write one file, as a model's context does."""
        path.write_text("context")


@dataclass
class Clusters:
    labels: np.ndarray
    confidence: np.ndarray
    exemplars: np.ndarray
    levels: tuple = ()
    seconds: dict = field(default_factory=dict)
    expected_f: float = 0.9
    method: str = "toy"
    reason: str = ""
    device: str = "cpu"
    questions: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    context: Context = field(default_factory=Context)


def plain(view, progress):
    """Cluster a view; the time it takes grows with rows times neighbours."""
    progress("edges", 0.0)
    time.sleep(float(os.environ.get("PLAIN_SECONDS", "0")))
    alive = np.flatnonzero(view.counts > 0)
    roots = components(view.n, view.neighbours, view.similarity > 0.8)[alive]
    names, first, found = np.unique(roots, return_index=True, return_inverse=True)
    mode = os.environ.get("PLAIN_CLUSTERS")
    if mode == "one":
        found, first = np.zeros_like(found), first[:1]
    elif mode == "alternate" and view.generation % 2:
        found, first = found // 2, first[: len(names) : 2]
    labels = np.full(view.n, -1)
    labels[alive] = found
    confidence = np.where(labels >= 0, 0.9, 0).astype(np.float32)
    progress("edges", 1.0)
    return Clusters(labels, confidence, alive[first])


def components(n, neighbours, joined):
    """The least row that each row is joined with."""
    parent = list(range(n))

    def root(row):
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for row, place in np.argwhere(joined).tolist():
        a, b = root(row), root(int(neighbours[row, place]))
        parent[max(a, b)] = min(a, b)
    return np.array([root(row) for row in range(n)], np.int64)


if __name__ == "__main__":
    sys.exit(main(plain, sys.argv[1:]))
