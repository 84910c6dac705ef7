"""Runs with Hi-LANDER itself."""

import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import models
from models.weights import SHIPPED
from worker.recluster import child
from worker.recluster.result import read_result
from worker.recluster.supervisor import Finished, Running, Supervisor
from worker.recluster.view import write_view


@pytest.fixture
def run(tmp_path):
    """Run Hi-LANDER in this process, which is spared the imports of another."""
    threads = torch.get_num_threads()

    def run(view):
        write_view(tmp_path / "view", view)
        child.run(tmp_path / "view", tmp_path / "result", child.hilander, lambda *_: None)
        return read_result(tmp_path / "result")

    yield run
    torch.set_num_threads(threads)


def test_four_groups(tmp_path, make_view):
    """The child as `python -m` starts it: groups come out as they went in, under their numbers."""
    labels = np.repeat(np.array([5, 6, 7, 8], np.int32), 20)
    supervisor = Supervisor(600)
    write_view(tmp_path / "view", make_view(size=20, k=30, labels=labels))
    supervisor.start(tmp_path / "view", tmp_path / "result")
    while isinstance(state := supervisor.poll(), Running):
        time.sleep(0.05)
    supervisor.cancel()
    assert state == Finished(tmp_path / "result")
    result = read_result(tmp_path / "result")
    assert result.cluster.tolist() == labels.tolist()
    assert result.context_path is not None
    assert {
        "features",
        "edges",
        "levels",
        "cut",
        "match",
        "correct",
        "total",
    } == result.seconds.keys()
    assert 0 <= result.expected_f <= 1
    assert result.method == "hi-lander"
    assert result.device in {"cpu", "cuda"}


def test_a_row_erased_after_the_view_was_taken(run, make_view):
    """Its vector is all zeros by now; the others are clustered all the same."""
    view = make_view(size=12, k=30)
    vectors = np.fromfile(view.vectors_path, "<f4").reshape(view.n, 8)
    vectors[3] = 0
    vectors.tofile(view.vectors_path)
    result = run(view)
    assert len(set(result.cluster[[0, 1, 2, 4, 5, 6]].tolist())) == 1
    assert np.isfinite(result.confidence).all()


def test_no_living_row(run, make_view):
    """Everything was erased."""
    view = make_view(size=2, k=30)
    dead = replace(
        view,
        counts=np.zeros(view.n, np.int32),
        neighbours=np.full_like(view.neighbours, -1),
        similarity=np.full_like(view.similarity, -2),
    )
    assert run(dead).cluster.tolist() == [-1] * view.n


@pytest.mark.parametrize("images", [0, 1, 2])
def test_few_rows(run, make_view, images):
    """Each of nothing, one image and two goes through."""
    result = run(make_view(blobs=1, size=images, k=30))
    assert len(result.cluster) == images
    assert (result.cluster < -1).all()


def test_the_model_is_kept_until_its_files_change(run, make_view, tmp_path, monkeypatch):
    """One run after another loads the weights once; new files under the same name are loaded."""
    loaded = []
    real = models.load_model

    def load(path):
        loaded.append(path)
        return real(path)

    monkeypatch.setattr(models, "load_model", load)
    weights = tmp_path / "weights"
    shutil.copytree(SHIPPED, weights)
    view = replace(make_view(size=12, k=30), weights=weights)
    run(view)
    run(view)
    assert loaded == [weights]
    for file in weights.iterdir():
        os.utime(file, ns=(1, 1))
    run(view)
    assert loaded == [weights, weights]
