from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from worker.drift import Drift
from worker.recluster.view import View


@pytest.fixture
def make_view(tmp_path):
    """Make a view of `blobs` well separated groups of `size` images, of 8 dimensions."""

    def make(blobs=4, size=5, k=4, **changes):
        rng = np.random.default_rng(7)
        n = blobs * size
        centres = np.eye(8, dtype=np.float32)[np.arange(n) // max(size, 1) % 8]
        vectors = centres + 0.05 * rng.normal(size=(n, 8)).astype(np.float32)
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f4")
        (tmp_path / "vectors").write_bytes(vectors.tobytes())
        cosine = vectors @ vectors.T
        np.fill_diagonal(cosine, -3)
        order = np.argsort(-cosine, axis=1)[:, : min(k, max(n - 1, 0))]
        neighbours, similarity = np.full((n, k), -1, np.int32), np.full((n, k), -2, np.float32)
        neighbours[:, : order.shape[1]] = order
        similarity[:, : order.shape[1]] = np.take_along_axis(cosine, order, 1)
        view = View(
            collection="main",
            generation=3,
            n=n,
            dimension=8,
            k=k,
            vectors_path=tmp_path / "vectors",
            granularity="thing",
            group_size=None,
            neighbours=neighbours,
            similarity=similarity,
            counts=np.ones(n, np.int32),
            labels=np.full(n, -1, np.int32),
            provisional=np.ones(n, bool),
        )
        return replace(view, **changes)

    return make


@pytest.fixture
def toy_module(monkeypatch):
    """The name of a module that `python -m` runs as a child with a simple clusterer."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return "toy_clusterer"


@pytest.fixture
def calm():
    """The drift of a run that changed nothing in 2,000 images of 100 clusters."""
    return Drift(
        settled_images=2_000,
        changed_share=0.0,
        merge_mass=0.0,
        split_mass=0.0,
        rand_index=1.0,
        nmi=1.0,
        clusters_before=100,
        clusters_after=100,
        largest_share_before=0.1,
        images=2_000,
        clusters=100,
        singleton_share=0.0,
        largest_share=0.1,
        mean_confidence=0.9,
        overturned_share=0.0,
    )
