"""`shoal verify` and `shoal repair` on a data directory that a worker has filled."""

import json
import shutil
import sqlite3

import pytest

from index import FormatError


@pytest.fixture
def photos(bench, axis):
    """Two collections with runs behind them, a name and a correction."""
    for letter, number in [(name, n) for name in range(3) for n in range(10)]:
        bench.send(f"{'abc'[letter]}{number}", axis(letter, tilt=number / 50))
        bench.send(f"{'abc'[letter]}{number}", axis(letter, tilt=number / 40), collection="other")
    bench.run()
    bench.send("late", axis(5))
    bench.clock.advance(10_000.0)
    bench.run()
    bench.alone().say("main", "name", (bench.states("a0")[0].cluster, "Anna"))
    bench.alone().say("main", "apart", ("b0", "b1"))
    return bench


@pytest.fixture
def shoal(photos, shoal_on):
    """Runs `shoal` on the data directory: status and output."""
    return shoal_on(photos)


def found(shoal, *words):
    """Status, and what is wrong: (part, harm, what), by collection."""
    status, said = shoal("verify", "--json", *words)
    fields = json.loads(said.out)
    parts = {**fields["collections"], "": fields["directory"]}
    return status, {
        name: [(f["part"], f["harm"], f["what"]) for f in list_] for name, list_ in parts.items()
    }


def spoil(path, *, page=None):
    """Change a stretch of bytes that no single bit explains."""
    data = bytearray(path.read_bytes())
    start = len(data) // 2 if page is None else 4_096 * (page - 1)
    data[start : start + 64] = bytes(b ^ 0x55 for b in data[start : start + 64])
    path.write_bytes(data)


def everything(bench, collection="main"):
    ids = [f"{letter}{n}" for letter in "abc" for n in range(10)]
    return dict(zip(ids, bench.states(*ids, collection=collection), strict=True))


def test_a_whole_directory(shoal):
    """Status 0, each collection is named; repair has nothing to do."""
    assert found(shoal) == (0, {"main": [], "other": [], "": []})
    status, said = shoal("verify")
    assert (status, said.out.splitlines()) == (0, ["main: whole", "other: whole"])
    status, said = shoal("repair")
    assert (status, said.out.splitlines()) == (0, ["main: whole", "other: whole"])


def test_one_collection(shoal, photos):
    """`--collection` verifies one; one that is not there is named with those that are."""
    spoil(photos.path / "collections/other/vectors.f32")
    assert found(shoal, "--collection", "main") == (0, {"main": [], "": []})
    status, wrong = found(shoal)
    assert (status, wrong["main"], bool(wrong["other"])) == (7, [], True)
    status, said = shoal("verify", "--collection", "nobody")
    assert status == 2
    assert "'nobody': not in" in said.err


def test_not_beside_a_worker(shoal, photos):
    """A directory that a worker has is left alone."""
    parts = photos.parts()
    for command in ("verify", "repair"):
        status, said = shoal(command)
        assert status == 3
        assert "is locked by" in said.err
    parts.abandon()


def test_a_damaged_generation_is_spared(shoal, photos):
    """Status 1: a worker would start without it; repair removes it, and nothing is lost."""
    [*_, newest] = sorted((photos.path / "collections/main/generations").iterdir())
    spoil(newest / "labels.npy")
    status, wrong = found(shoal)
    assert (status, [w[:2] for w in wrong["main"]]) == (1, [("generation", "spare")])
    assert "labels.npy" in wrong["main"][0][2]
    assert shoal("repair")[0] == 0
    assert found(shoal)[0] == 0
    assert not newest.exists()


def test_generations_that_changed_places(shoal, photos):
    """A generation says which it is."""
    first, second, *_ = sorted((photos.path / "collections/main/generations").iterdir())
    first.rename(second.with_name("moved"))
    second.rename(first)
    second.with_name("moved").rename(second)
    status, wrong = found(shoal)
    assert (status, len(wrong["main"])) == (1, 2)
    assert "it holds generation" in wrong["main"][0][2]


@pytest.mark.parametrize("name", ["view", "result"])
def test_a_damaged_folder_of_a_run_is_spared(shoal, photos, name):
    """What a run read and wrote can be made again."""
    folder = photos.path / "collections/main/runs" / name
    if not folder.exists():
        shutil.copytree(folder.with_name("view"), folder)
    spoil(folder / "counts.npy")
    status, wrong = found(shoal)
    assert (status, [w[:2] for w in wrong["main"]]) == (1, [("run", "spare")])
    assert shoal("repair")[0] == 0
    assert found(shoal)[0] == 0


def test_damaged_positions(shoal, photos, axis):
    """Status 7. Repair has everything read again; collections skip what they have."""
    before = everything(photos)
    for page in (1, 2, 3):
        spoil(photos.path / "positions.sqlite", page=page)
    status, wrong = found(shoal)
    assert status == 7
    assert {w[:2] for w in wrong[""]} == {("positions", "data")}
    status, said = shoal("repair")
    assert status == 0
    assert "read again from its start" in said.out
    assert found(shoal)[0] == 0
    photos.send("new", axis(6))
    photos.run()
    assert everything(photos) == before
    assert photos.states("new")[0] is not None


def test_a_lost_row_is_named_and_goes_from_redis(shoal, photos, axis):
    """Status 1 after repair: the image has to be sent again; readers do not see it meanwhile."""
    folder = photos.path / "collections/main"
    shutil.rmtree(folder / "snapshots")
    (folder / "snapshots").mkdir()
    with (folder / "vectors.f32").open("r+b") as file:
        file.seek(4 * 32)
        file.write(b"\x11" * 32)
    status, wrong = found(shoal)
    assert (status, wrong["main"]) == (7, [("log", "data", "row 4 is not what was written")])
    status, said = shoal("repair", "--json")
    assert status == 1
    [lost] = json.loads(said.out)["collections"]["main"]["send_again"]
    assert found(shoal)[0] == 0
    photos.run()
    assert photos.states(lost) == [None]
    others = [state for id_, state in everything(photos).items() if id_ != lost]
    assert all(others)
    letter, number = lost[0], int(lost[1:])
    photos.send(lost, axis("abc".index(letter), tilt=number / 50))
    photos.run()
    assert photos.states(lost)[0] is not None


def test_every_page_of_a_catalog(shoal, photos):
    """Whatever page is gone: repair says what is lost or that it cannot; a worker then works."""
    folder = photos.path / "collections/main"
    kept = photos.path.with_name("kept")
    shutil.copytree(photos.path, kept)
    pages = (folder / "catalog.sqlite").stat().st_size // 4_096
    repaired = 0
    for page in range(2, pages + 1):
        shutil.rmtree(photos.path)
        shutil.copytree(kept, photos.path)
        spoil(folder / "catalog.sqlite", page=page)
        assert found(shoal)[0] == 7
        status, said = shoal("repair", "--json")
        assert status in {0, 1, 7}, said.err
        if status == 7:
            continue
        repaired += 1
        assert found(shoal)[0] == 0
        told = json.loads(said.out)["collections"]["main"]
        photos.run()
        seen = [state for state in everything(photos).values() if state is not None]
        assert len(seen) >= 30 - len(told["send_again"]) - told["lost_without_id"], told
    assert repaired > pages * 0.8


def test_a_run_that_cannot_be_published_to_its_end(shoal, photos, axis):
    """Killed while a run was taken over, and then its result is damaged: the run is given up."""
    folder = photos.path / "collections/main"
    before = everything(photos)
    parts = photos.parts()
    collection = parts.collections.get("main")
    with collection.index.transaction(durable=True) as db:
        collection.set_state(db, adopting=collection.state.generation + 1)
    parts.abandon()
    status, wrong = found(shoal)
    assert status == 7
    assert {w[:2] for w in wrong["main"]} >= {("generation", "data"), ("run", "data")}
    status, said = shoal("repair")
    assert status == 0
    assert "is not published to its end" in said.out
    assert found(shoal)[0] == 0
    photos.send("new", axis(6))
    photos.run()
    assert everything(photos).keys() == before.keys()
    assert all(everything(photos).values())
    assert folder.exists()


def test_a_lost_end_of_the_log_is_read_again(shoal, photos, axis):
    """Commits that the disk lost come again from the topic: repair moves the positions back."""
    parts = photos.parts()
    parts.collections.get("main")
    kept = photos.path.with_name("kept")
    photos.send("x1", axis(6))
    photos.send("x2", axis(7))
    worker = photos.worker
    parts.abandon()
    del worker
    before = photos.path / "collections/main/catalog.sqlite"
    shutil.copytree(photos.path, kept)
    photos.run()
    # The catalog of before, with what was noted outside it of the commits since.
    sums = before.with_name("catalog.sqlite.sums")
    committed = sums.read_bytes()[:16]
    shutil.copy(kept / "collections/main/catalog.sqlite", before)
    old = (kept / "collections/main/catalog.sqlite.sums").read_bytes()
    sums.write_bytes(committed + old[16:])
    shutil.rmtree(photos.path / "collections/main/snapshots")
    assert found(shoal)[0] == 7
    status, said = shoal("repair", "--json")
    assert status == 1
    assert json.loads(said.out)["collections"]["main"]["read_again_from"]
    photos.run()
    assert all(photos.states("x1", "x2"))


def test_positions_of_another_format(shoal, photos, axis):
    """Those of a version without checksums are taken over; those of a newer one are refused."""
    path = photos.path / "positions.sqlite"

    def set_version(number, *more):
        db = sqlite3.connect(path, isolation_level=None)
        for statement in (*more, f"PRAGMA user_version = {number}"):
            db.execute(statement)
        db.close()

    path.with_name("positions.sqlite.sums").unlink()
    set_version(0, "DROP TABLE commits")
    before = everything(photos)
    photos.send("new", axis(6))
    photos.run()
    assert found(shoal)[0] == 0
    assert everything(photos) == before
    assert photos.states("new")[0] is not None
    set_version(99)
    path.with_name("positions.sqlite.sums").unlink()
    status, said = shoal("verify")
    assert status == 3
    assert "format 99; this version reads up to 2" in said.err
    with pytest.raises(FormatError):
        photos.run()
