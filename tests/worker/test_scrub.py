"""All files are read again in the time that is set for it, and damage is told everywhere."""

import os

import numpy as np
import pytest

from worker.errors import CorruptError
from worker.recluster import generations

DAY = 86_400.0


@pytest.fixture
def parts(bench, axis):
    """A worker's parts with two open collections of thirty photos, with a run and a snapshot."""
    for name in ("first", "second"):
        for number in range(30):
            bench.send(f"photo-{number}", axis(number % 3, tilt=number / 50), collection=name)
    bench.run()
    parts = bench.parts()
    for name in ("first", "second"):
        parts.collections.get(name)
    yield parts
    parts.abandon()


def flip(path, at):
    """Flip a bit of a file, as the disk might."""
    with path.open("r+b", buffering=0) as file:
        [byte] = os.pread(file.fileno(), 1, at)
        os.pwrite(file.fileno(), bytes([byte ^ 4]), at)


def pass_time(bench, parts, seconds):
    """Let time pass, with a tick every minute."""
    for _ in range(round(seconds / 60)):
        bench.clock.advance(60.0)
        parts.scrub.tick()


def value(bench, name, **labels):
    return bench.metrics.registry.get_sample_value(name, labels)


def damaged(bench):
    """Files that cannot be made again, and those that can be done without."""
    return tuple(value(bench, "shoal_damaged_files", harm=harm) for harm in ("data", "spare"))


def folder(bench, name):
    return bench.path / "collections" / name


def test_everything_within_the_time(bench, parts):
    """A round ends when the time is over, not long before, and the next begins."""
    parts.scrub.tick()
    assert value(bench, "shoal_scrubbed_bytes_total") == 0
    pass_time(bench, parts, DAY / 2)
    assert value(bench, "shoal_last_scrub_timestamp_seconds") == 0
    half = value(bench, "shoal_scrubbed_bytes_total")
    assert half > 0
    pass_time(bench, parts, DAY / 2 + 600)
    assert value(bench, "shoal_last_scrub_timestamp_seconds") > 0
    once = value(bench, "shoal_scrubbed_bytes_total")
    assert half < once
    pass_time(bench, parts, DAY + 600)
    assert value(bench, "shoal_scrubbed_bytes_total") >= 2 * half
    assert damaged(bench) == (0, 0)
    assert parts.scrub.damage is None


def test_only_a_share_of_the_time(bench, parts, monkeypatch):
    """A slice that takes long is made up for by waiting, however much is due."""
    slow = parts.collections.opened("first").index.scrub
    slices = []

    def slowly(found):
        for read in slow(found):
            bench.clock.advance(1.0)
            slices.append(bench.clock.monotonic())
            yield read

    monkeypatch.setattr(parts.collections.opened("first").index, "scrub", slowly)
    parts.scrub._seconds = 1.0
    for _ in range(1_000):
        bench.clock.advance(1.0)
        parts.scrub.tick()
    assert 5 < len(slices) < 15


def test_damage_that_cannot_be_mended(bench, parts):
    """`/readyz` and a metric tell it until the file is right again; ingestion goes on."""
    vectors = folder(bench, "first") / "vectors.f32"
    flip(vectors, 100)
    pass_time(bench, parts, DAY)
    assert damaged(bench) == (1, 0)
    assert str(vectors) in parts.scrub.damage
    assert "rows 0 to 29" in parts.scrub.damage
    flip(vectors, 100)
    pass_time(bench, parts, DAY)
    assert damaged(bench) == (0, 0)
    assert parts.scrub.damage is None


@pytest.mark.usefixtures("photos")
def test_not_ready(bench):
    """A worker whose vectors are damaged says so where it is asked whether it is ready."""
    worker = bench.worker(once=False, scrub_seconds="1")
    poll, answers = worker._source.poll, []

    def polled(*limits):
        bench.clock.advance(2.0)
        answers.append(worker.ready())
        if len(answers) == 3:
            flip(folder(bench, "main") / "vectors.f32", 100)
        if len(answers) == 60:
            worker.stop()
        return poll(*limits)

    worker._source.poll = polled
    worker.run()
    assert answers[2] is None
    assert "vectors.f32: rows 0 to 29 are not what was written" in answers[-1]


@pytest.mark.parametrize("part", ["snapshots", "generations"])
def test_damage_that_can_be_spared(bench, parts, part):
    """A metric tells it, and the worker is ready; a snapshot is taken out of use."""
    [newest] = sorted(p for p in (folder(bench, "second") / part).iterdir() if p.name.isdigit())
    file = max(newest.iterdir(), key=lambda path: path.stat().st_size)
    flip(file, file.stat().st_size // 2)
    pass_time(bench, parts, DAY)
    assert damaged(bench) == (0, 1)
    assert parts.scrub.damage is None
    assert newest.exists() == (part == "generations")
    assert bool(parts.collections.opened("second").index.rows_since_snapshot) == (
        part == "snapshots"
    )


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.usefixtures("parts")
def test_a_generation_that_a_purge_writes_anew(bench, damaged):
    """Between two slices it is replaced under the same name: only what is there now counts."""
    directory = folder(bench, "first")
    [number] = generations.numbers(directory)
    reading = generations.scrub(directory, number)
    assert next(reading) > 0
    generations.forget(directory, np.arange(30) == 3)
    if damaged:
        flip(generations.path_of(directory, number) / "labels.npy", 150)
        with pytest.raises(CorruptError, match=r"labels\.npy"):
            list(reading)
    else:
        list(reading)


def test_positions(bench, parts):
    """The worker's own positions are read with the rest."""
    parts.positions._database.checkpoint()
    flip(bench.path / "positions.sqlite", 5_000)
    pass_time(bench, parts, DAY + 600)
    assert damaged(bench) == (1, 0)
    assert "positions.sqlite" in parts.scrub.damage


def test_a_collection_that_is_closed(bench, parts):
    """Its damage is told no more: opening it again verifies all of it."""
    flip(folder(bench, "second") / "vectors.f32", 100)
    pass_time(bench, parts, DAY + 600)
    assert damaged(bench) == (1, 0)
    parts.collections.close(parts.collections.opened("second"))
    pass_time(bench, parts, DAY + 600)
    assert damaged(bench) == (0, 0)
