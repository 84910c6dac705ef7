"""One worker over a data directory on a disk that fails at one call after another.

Runs under `failing_disk.c`. A worker takes images, erasures, bad records and what people say, takes
snapshots, reclusters and purges; at the n-th call that changes a file the disk begins to fail, and
works again after a while. No worker is started again. Prints each n at which something is wrong.
"""

import copy
import importlib.util
import json
import logging
import mmap
import os
import shutil
import struct
import sys
import traceback
from pathlib import Path

import numpy as np
import structlog

from index import CollectionIndex, IndexSettings
from worker.dead_letters.file import FileDeadLetters
from worker.requests import Mailbox
from worker.traces.in_files import Searched, in_files
from worker.traces.sought import sought
from worker.vectors import unit_vector

TESTS = Path(__file__).parents[1]
MODES = ("works", "full", "read-only", "failing", "unsynced")
# The disk works again after so many calls that failed, or so many waits.
FAILED_CALLS = 40
WAITS = 6


def load(path):
    """A file of the tests as a module; tests are no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


bench_of = load(TESTS / "worker" / "conftest.py")
consistency = load(TESTS / "integration" / "consistency.py")


class Disk:
    """The four integers that `failing_disk.c` heeds."""

    def __init__(self):
        with Path(os.environ["DISK_CONTROL"]).open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 16)

    def _get(self, place):
        return struct.unpack_from("i", self._memory, 4 * place)[0]

    def _set(self, place, value):
        struct.pack_into("i", self._memory, 4 * place, value)

    @property
    def calls(self):
        """Calls so far."""
        return self._get(0)

    @property
    def failed(self):
        """Calls that failed since `fail`."""
        return self._get(3)

    def fail(self, mode, call):
        """Fail like `mode` from the `call`-th call after this one on."""
        self._set(3, 0)
        self._set(2, MODES.index(mode))
        self._set(1, self.calls + call)

    def work(self):
        """Fail no more."""
        self._set(1, 0)


class Scene:
    """A data directory with forty images, and what comes next."""

    def __init__(self, folder, disk):
        self.disk = disk
        self.template = folder / "template"
        self.folder = folder / "data"
        self.expected = {"main": {}, "user": {}}
        self.former = {}  # images with the vector that they had, erased or replaced since
        self.bench = bench_of.Bench(self.template)
        for number in range(40):
            self._send("main", f"a{number}", number % 4, number / 50)
        self.bench.run()
        self._next()
        self.asked = []
        self.outages = 0

    def _send(self, collection, id_, number, tilt):
        vector = bench_of.axis(number, tilt=tilt)
        more = {} if collection == "main" else {"collection": collection}
        self.bench.send(id_, vector, **more)
        self.expected[collection][id_] = vector

    def _next(self):
        for number in range(60):
            self._send("main", f"b{number}", number % 5, number / 70)
            if number % 4 == 0:
                self._send("user", f"u{number}", number % 2, number / 90)
            if number % 20 == 0:
                self.bench.topic.append(b"bad", b"no json")
        for number in (*range(0, 12, 2), *range(1, 9, 2)):
            self.former[f"a{number}"] = self.expected["main"][f"a{number}"]
        for number in range(0, 12, 2):
            self._send("main", f"a{number}", 6, number / 80)
        for number in range(1, 9, 2):
            self.bench.erase(f"a{number}")
            del self.expected["main"][f"a{number}"]

    def set(self):
        """Everything as it was, on a new copy."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder)
        bench = bench_of.Bench(self.folder)
        bench.topic, bench.store, bench.clock = copy.deepcopy(
            (self.bench.topic, self.bench.store, self.bench.clock)
        )
        letters = self.folder / "dead-letters.jsonl"
        bench.dead_letters = FileDeadLetters(letters)
        mailbox = Mailbox(self.folder)
        cluster = bench.states("a12")[0].cluster
        self.asked = [
            mailbox.send("name", "main", cluster, "Anna"),
            mailbox.send("same", "main", "a13", "a14"),
            mailbox.send("apart", "main", "a16", "a20"),
            mailbox.send("recluster", "main"),
        ]
        return bench

    def play(self, mode, call):
        """Run a worker; how many calls changed a file."""
        bench = self.set()
        worker = bench.worker(
            batch_records="15",
            snapshot_images="20",
            open_collections="1",
            gate_min_images="100000",
            erasure_seconds="0.001",
        )
        self._move_time(bench, worker)
        before = self.disk.calls
        if mode != "works":
            self.disk.fail(mode, call)
        try:
            worker.run()
        finally:
            self.disk.work()
        calls = self.disk.calls - before
        bench.dead_letters.close()
        self.outages += bench.metrics.disk_errors._value.get() > 0
        assert bench.metrics.paused._value.get() == 0
        self.check(bench)
        return calls

    def _move_time(self, bench, worker):
        poll, sleep, waits = worker._source.poll, bench.clock.sleep, []

        def poll_later(*limits):
            bench.clock.advance(0.5)
            self._mend()
            return poll(*limits)

        def wait(seconds):
            sleep(seconds)
            waits.append(seconds)
            if len(waits) % WAITS == 0:
                self.disk.work()

        worker._source.poll, bench.clock.sleep = poll_later, wait

    def _mend(self):
        if self.disk.failed >= FAILED_CALLS:
            self.disk.work()

    def check(self, bench):
        """Every image is there exactly once, in the catalog, the graph and the store."""
        for name, images in self.expected.items():
            index = CollectionIndex.open(
                self.folder / "collections" / name, settings=IndexSettings(threads=1)
            )
            try:
                consistency._check_index(index, images)
                consistency._check_published(index, InStore(bench.store, name))
            finally:
                index.close()
        self._check_purged()
        lines = (self.folder / "dead-letters.jsonl").read_text().splitlines()
        assert {json.loads(line)["offset"] for line in lines} == {
            raw.offset for raw in bench.topic.read("images/0", 0, 10**6) if raw.key == b"bad"
        }
        for request in self.asked:
            answer = (self.folder / "requests" / f"{request}.answer").read_text()
            assert not answer.startswith("failed: no such"), answer
        name, same, apart, _ = (
            (self.folder / "requests" / f"{request}.answer").read_text() for request in self.asked
        )
        assert "is named 'Anna'" in name
        assert "same a13 a14" in same
        assert "apart a16 a20" in apart
        one, two = bench.states("a13", "a14")
        assert one.cluster == two.cluster
        one, two = bench.states("a16", "a20")
        assert one.cluster != two.cluster
        assert bench.topic.committed["images/0"] == bench.topic.end["images/0"]

    def _check_purged(self):
        """Nothing is left of what was erased, nor of the vectors that images had before."""
        still = {unit_vector(v).tobytes() for all_ in self.expected.values() for v in all_.values()}
        for image, vector in self.former.items():
            kept = unit_vector(vector)
            if kept.tobytes() in still:
                continue
            there = image in self.expected["main"]
            wanted = sought("nobody" if there else image, kept)
            left = list(in_files(self.folder, "main", wanted, Searched()))
            assert not left, (image, left)


class InStore:
    """What readers see of a collection, as `consistency.Published` has it."""

    def __init__(self, store, name):
        published = store._collections[name].published
        self.states = published.images
        self.retired = {id_: successor or "" for id_, successor in published.retired.items()}


def main():
    folder, mode, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    logging.basicConfig(level=logging.CRITICAL)
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet, cache_logger_on_first_use=False)
    disk = Disk()
    scene = Scene(folder, disk)
    calls = scene.play("works", 0)
    wrong = 0
    for call in sorted(set(np.linspace(1, calls, times or calls).round().astype(int).tolist())):
        try:
            scene.play(mode, call)
        except BaseException:  # noqa: BLE001  whatever it is, it is wrong
            wrong += 1
            print(f"{mode} from call {call} of {calls} on:\n{traceback.format_exc()}")  # noqa: T201
    print(f"{calls} calls, {scene.outages} outages")  # noqa: T201
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
