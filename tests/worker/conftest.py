import json
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest

from worker import cli
from worker.alone import Alone
from worker.compose import make_parts
from worker.edges import CosineEdges
from worker.metrics import Metrics
from worker.service import Worker
from worker.settings import load
from worker.testing import (
    InlineRunner,
    ManualClock,
    MemoryDeadLetters,
    MemorySource,
    MemoryStore,
    MemoryTopic,
)


@dataclass(frozen=True)
class Context:
    def save(self, path):
        path.write_bytes(b"")


@dataclass
class Clusters:
    """What the toy clusterer returns."""

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


def by_direction(view, report):
    """Cluster the rows by the axis that they point along most."""
    del report
    vectors = np.asarray(view.vectors())
    axes = np.where(view.counts > 0, vectors.argmax(1) if len(vectors) else 0, -1)
    names, labels = np.unique(axes[axes >= 0], return_inverse=True)
    out = np.full(len(axes), -1)
    out[axes >= 0] = labels
    exemplars = np.array([np.flatnonzero(axes == name)[0] for name in names], int)
    return Clusters(out, np.full(len(out), 0.9, np.float32), exemplars)


class Bench:
    """A worker over stand-ins, with the topic, store and clock that it talks to."""

    def __init__(self, path, **settings):
        self.path = path
        self.settings = {"data_dir": str(path), "gate_min_images": "100000"} | settings
        self.clock = ManualClock()
        self.topic = MemoryTopic()
        self.store = MemoryStore(self.clock)
        self.dead_letters = MemoryDeadLetters()
        self.runner = InlineRunner(by_direction)
        self.metrics = Metrics()
        self.tracing = None

    def send(self, id_, vector, **message):
        body = {"embedding": [float(x) for x in vector]} | message
        self.topic.append(id_.encode(), json.dumps(body).encode(), time=self.clock.time())

    def erase(self, id_, collection=None):
        headers = (("collection", collection.encode()),) if collection else ()
        self.topic.append(id_.encode(), None, headers)

    def worker(self, **settings):
        """A worker that reads the topic to its end, reclusters and ends."""
        return Worker(self.parts(**settings))

    def alone(self):
        """What a command does where no worker runs."""
        return Alone(self.parts())

    def parts(self, **settings):
        """What a worker is made of."""
        options = self.settings | {"once": True} | settings
        return make_parts(
            load(options),
            MemorySource(self.topic, until_end=True),
            self.dead_letters,
            self.store,
            self.metrics,
            self.clock,
            CosineEdges(0.9),
            self.runner,
            self.tracing,
        )

    def run(self, **settings):
        self.worker(**settings).run()

    def cluster_all_in_one(self):
        """From now on every run finds a single cluster."""
        self.runner = InlineRunner(
            lambda view, _: Clusters(
                np.where(view.counts > 0, 0, -1), np.ones(view.n, np.float32), np.array([0])
            )
        )

    def states(self, *ids, collection="main"):
        return self.store.get(collection, ids)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "data")


def axis(number, dimension=8, tilt=0.0):
    """A unit vector near axis `number`."""
    vector = np.full(dimension, tilt / dimension)
    vector[number] = 1.0
    return vector / np.linalg.norm(vector)


@pytest.fixture(name="axis")
def axis_fixture():
    return axis


@pytest.fixture
def photos(bench, axis):
    """Three clusters of ten photos, a0.., b0.. and c0.., confirmed by a run."""
    for letter, number in [(name, n) for name in range(3) for n in range(10)]:
        bench.send(f"{'abc'[letter]}{number}", axis(letter, tilt=number / 50))
    bench.run()
    return bench


@pytest.fixture
def shoal_on(monkeypatch, capsys):
    """Makes what runs `shoal` on the data directory of a bench: status and output."""

    def on(bench):
        def run(*words):
            monkeypatch.setattr(sys, "argv", ["shoal", *words, "--data-dir", str(bench.path)])
            capsys.readouterr()
            try:
                cli.main()
            except SystemExit as ended:
                return ended.code or 0, capsys.readouterr()
            return 0, capsys.readouterr()

        return run

    return on
