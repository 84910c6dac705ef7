"""A collection moves to another embedding model: real servers, and kills at each step."""

import json
import threading

import numpy as np
import pytest

from worker.requests import Mailbox

OLD, NEW = "clip-small", "clip-large"
DIMENSION = 24
GROUPS, SIZE = 6, 12
NAMED, UNITED, PARTED = "i5-0", ("i0-0", "i1-0"), ("i2-0", "i2-9")

# Where the switch is, and what comes before it.
BEFORE = ["make", "3b:3", "M3", "R1", "R3", "M4"]
SWITCH = ["R7", "R6", "M5", "M6", "M7", "M8"]
AFTER = ["6", "R8"]


def as_new(stream, ids=None):
    """The images of a stream as the new model embeds them: rotated, in more dimensions."""
    rng = np.random.default_rng(7)
    turned, _ = np.linalg.qr(rng.standard_normal((DIMENSION, DIMENSION)))
    made = type(stream)()
    for image, vector in stream.images["main"].items():
        if ids is None or image in ids:
            wide = np.zeros(DIMENSION, np.float32)
            wide[: len(vector)] = vector
            made.add(image, (turned @ wide).astype(np.float32), model=NEW)
    return made


def of_old(stream):
    """A stream whose records name the old model."""
    made = type(stream)()
    for image, vector in stream.images["main"].items():
        made.add(image, vector, model=OLD)
    return made


def migrate(stage, *words):
    """Ask for something; exit status and answer."""
    done, answers = stage.shoal("migrate", *words, "--json")
    assert len(answers) == 1, done.stderr
    return done.returncode, answers[0]["answer"]


def request(stage, verb, *words):
    """Leave a request for the next worker."""
    return Mailbox(stage.data_dir).send(verb, "main", *words)


def clusters(stage, images):
    return {image: state and state.cluster for image, state in stage.states(images).items()}


def model(stage):
    return stage.client.summary("main").model


def progress(stage):
    return (stage.client.status("main") or {}).get("migration")


def whole(stage, counted):
    """Whether the second index has so many of the images."""
    told = progress(stage)
    return told is not None and told["shared"] == counted


@pytest.fixture
def photos(stage, tools):
    """Six groups in Redis, confirmed by a run, of which things were said; no worker runs."""
    stage.create_topic(partitions=2)
    stream = of_old(tools.groups(GROUPS, SIZE))
    stage.send(stream)
    assert stage.run(**tools.NO_RUNS).exit_code == 0
    home = stage.states([NAMED])[NAMED].cluster
    request(stage, "name", home, "harbour")
    request(stage, "same", *UNITED)
    request(stage, "apart", *PARTED)
    assert stage.run(**tools.NO_RUNS).exit_code == 0
    return stream


def assert_kept(stage, before):
    """Every cluster is the one it was, but that what was parted is parted as the new model has it;
    and what was said is so.
    """
    after = clusters(stage, before)
    assert None not in after.values()
    parted = {before[image] for image in PARTED}
    assert {image: c for image, c in after.items() if before[image] not in parted} == {
        image: c for image, c in before.items() if c not in parted
    }
    assert after[UNITED[0]] == after[UNITED[1]]
    assert after[PARTED[0]] != after[PARTED[1]]
    assert stage.client.cluster("main", before[NAMED]).name == "harbour"
    _, listed = stage.shoal("corrections", "--json")
    assert [(r["correction"], r["holds"]) for r in listed] == [("same", True), ("apart", True)]


class Reader:
    """Reads the images of a stream again and again, and counts those without a cluster."""

    def __init__(self, stage, images):
        self._stage, self._images = stage, list(images)
        self._stop = threading.Event()
        self.reads = self.missed = 0
        self._thread = threading.Thread(target=self._read)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _read(self):
        while not self._stop.is_set():
            found = self._stage.client.get("main", self._images)
            self.missed += sum(state is None for state in found)
            self.reads += 1


def test_while_it_serves(stage, photos, tools):
    """The first index serves, takes images and is corrected until the second has every image;
    readers never miss one, and find the clusters that they knew.
    """
    before = clusters(stage, photos.images["main"])
    worker = stage.start(**tools.NO_RUNS, batch_records=20).ready()
    assert migrate(stage, "--model", NEW, "--dimension", str(DIMENSION))[0] == 0
    renewed = as_new(photos)
    with Reader(stage, before) as reader:
        stage.send(renewed.head(50))
        tools.eventually(lambda: whole(stage, 50), what="50 images in the second index")
        late = of_old(tools.groups(GROUPS, 2, seed=1, prefix="late"))
        stage.send(late)
        both = photos.with_(late)
        stage.published(both)
        missing = GROUPS * (SIZE + 2) - 50
        tools.eventually(lambda: worker.metric("shoal_migration_missing_images") == missing)
        assert worker.metric("shoal_migrations") == 1
        assert migrate(stage, "--finish")[0] == 1
        assert model(stage) == OLD
        stage.send(renewed.tail(len(renewed.records) - 50))
        stage.send(as_new(late))
        tools.eventually(lambda: model(stage) == NEW, 60, "the new model")
        tools.eventually(lambda: not stage.client.status("main")["unpublished"])
    assert reader.reads > 10
    assert reader.missed == 0
    assert_kept(stage, before)
    fresh = as_new(of_old(tools.groups(GROUPS, 1, seed=2, prefix="fresh")))
    stage.send(fresh)
    everything = as_new(both).with_(fresh)
    stage.published(everything)
    assert worker.stop() == 0
    stage.assert_consistent(everything)
    homes = clusters(stage, ["fresh3-0", "i3-1", "late3-1"])
    assert len(set(homes.values())) == 1


@pytest.mark.parametrize("fault", BEFORE + SWITCH + AFTER)
def test_killed(stage, photos, tools, fault):
    """Killed at a step of a migration, the next start goes on, and one index is left."""
    before = clusters(stage, photos.images["main"])
    request(stage, "migrate", "to", NEW, "")
    renewed = as_new(photos)
    stage.send(renewed)
    assert stage.run(fault=fault, batch_records=20, **tools.NO_RUNS).exit_code == -9
    assert stage.run(batch_records=20, **tools.NO_RUNS).exit_code == 0
    assert model(stage) == NEW
    assert_kept(stage, before)
    stage.assert_consistent(renewed)


@pytest.mark.parametrize("fault", ["M1", "cancel"])
def test_killed_when_it_is_asked(stage, photos, tools, fault):
    """A request that the worker dies of is in the catalog, or asked again on the next start."""
    words = ("to", NEW, "") if fault == "M1" else ("cancel",)
    if fault == "cancel":
        request(stage, "migrate", "to", NEW, "")
        stage.send(as_new(photos).head(10))
        assert stage.run(**tools.NO_RUNS).exit_code == 0
    request(stage, "migrate", *words)
    assert stage.run(fault=fault, **tools.NO_RUNS).exit_code == -9
    assert stage.run(**tools.NO_RUNS).exit_code == 0
    if fault == "M1":
        assert progress(stage)["model"] == NEW
    else:
        assert progress(stage) is None
        stage.assert_consistent(photos)


def test_erased_while_it_migrates(stage, photos, tools):
    """An image that is erased meanwhile leaves nothing in either index, before or after the
    switch.
    """
    first, second = "i3-3", "i3-4"
    assert migrate(stage, "--model", NEW)[0] == 0
    renewed = as_new(photos)
    stage.send(renewed.head(40))
    stage.send(as_new(photos, {first, second}))
    times = {"erasure_seconds": 2}
    worker = stage.start(**tools.NO_RUNS, **times).ready()
    tools.eventually(lambda: (progress(stage) or {}).get("shared", 0) >= 40)
    vectors = {
        image: (photos.images["main"][image], renewed.images["main"][image])
        for image in (first, second)
    }
    assert stage.shoal("erase", first, "--json")[1][0]["erased"] == [first]
    tools.eventually(lambda: nothing_left(stage, first, vectors[first]), 30, "nothing left")
    assert stage.shoal("erase", second, "--json")[1][0]["erased"] == [second]
    rest = [image for image in renewed.images["main"] if image not in {first, second}]
    stage.send(as_new(photos, set(rest)))
    tools.eventually(lambda: model(stage) == NEW, 60, "the new model")
    tools.eventually(lambda: nothing_left(stage, second, vectors[second]), 30, "nothing left")
    assert worker.stop() == 0
    stage.assert_consistent(as_new(photos, set(rest)))


def nothing_left(stage, image, vectors):
    """Whether `shoal verify-erased` finds nothing of the image or of one of its vectors."""
    for number, vector in enumerate(vectors):
        path = stage.folder / f"vector-{number}.npy"
        np.save(path, vector)
        done, _ = stage.shoal("verify-erased", image, "--vector", str(path), "--json")
        if done.returncode == 1 and json.loads(done.stdout)["found"]:
            return False
    return True


def test_all(stage, tools):
    """Every collection of the worker migrates when all are asked to; one that cannot says so."""
    stage.create_topic(partitions=2)
    for name, held in [("main", OLD), ("user:2", OLD), ("user:3", NEW)]:
        made = tools.groups(0, 0)
        for image, vector in tools.groups(2, 8).images["main"].items():
            made.add(image, vector, name, model=held)
        stage.send(made)
    worker = stage.start(**tools.NO_RUNS).ready()
    tools.eventually(lambda: len(stage.client.collections()) == 3)
    done, answers = stage.shoal("migrate", "--model", NEW, "--all", "--json")
    assert done.returncode == 1
    assert {a["collection"]: a["done"] for a in answers} == {
        "main": True,
        "user:2": True,
        "user:3": False,
    }
    for name in ("main", "user:2"):
        made = tools.groups(0, 0)
        for image, vector in as_new(tools.groups(2, 8)).images["main"].items():
            made.add(image, vector, name, model=NEW)
        stage.send(made)
    for name in ("main", "user:2"):
        tools.eventually(lambda name=name: stage.client.summary(name).model == NEW, 60)
    assert worker.stop() == 0


def test_cancelled(stage, photos, tools):
    """A migration that is cancelled leaves everything as it was."""
    before = clusters(stage, photos.images["main"])
    worker = stage.start(**tools.NO_RUNS).ready()
    assert migrate(stage, "--model", NEW)[0] == 0
    stage.send(as_new(photos).head(30))
    tools.eventually(lambda: whole(stage, 30), what="30 images in the second index")
    assert migrate(stage, "--cancel") == (0, f"cancelled: it stays with {OLD}")
    assert worker.stop() == 0
    stage.assert_consistent(photos)
    assert clusters(stage, before) == before
