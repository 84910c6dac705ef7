"""`shoal repair` that ends early: positions go back, and what is lost is told, all the same."""

import json
import shutil

import pytest
from keeping import keep_damaged
from killed import kill_at

from index import CorruptError as IndexCorruptError
from worker.errors import CorruptError

REPAIR = "from worker.cli import main; main()"


@pytest.fixture
def photos(bench, axis):
    """Two collections, and of both no snapshot."""
    for letter, number in [(name, n) for name in range(3) for n in range(10)]:
        bench.send(f"{'abc'[letter]}{number}", axis(letter, tilt=number / 50))
        bench.send(f"{'abc'[letter]}{number}", axis(letter, tilt=number / 40), collection="other")
    bench.run()
    for collection in (bench.path / "collections").iterdir():
        shutil.rmtree(collection / "snapshots")
    return bench


@pytest.fixture
def shoal(photos, shoal_on):
    """Runs `shoal` on the data directory: status and output."""
    return shoal_on(photos)


def told(shoal, collection="main"):
    """Status of a repair, and what it says of a collection."""
    status, said = shoal("repair", "--json")
    return status, json.loads(said.out)["collections"][collection]


def kill(photos, fault):
    """`shoal repair` in a process that is killed at a fault point."""
    kill_at(fault, REPAIR, "repair", "--data-dir", photos.path)


def lose_commits(photos, step):
    """The collection `main` has the catalog of before a `step`, and knows that more was written."""
    folder = photos.path / "collections/main"
    kept = shutil.copytree(folder, photos.path.with_name("kept"))
    step()
    sums = folder / "catalog.sqlite.sums"
    committed = sums.read_bytes()[:16]
    shutil.copy(kept / "catalog.sqlite", folder)
    sums.write_bytes(committed + (kept / sums.name).read_bytes()[16:])
    shutil.rmtree(folder / "snapshots", ignore_errors=True)


@pytest.fixture
def gap(photos, axis):
    """The end of the log of `main` is lost, with two images that the worker's positions passed."""
    photos.send("x1", axis(6))
    photos.send("x2", axis(7))
    lose_commits(photos, photos.run)
    return photos


def damage_a_row(photos, collection):
    """A row of which there is no copy."""
    with (photos.path / "collections" / collection / "vectors.f32").open("r+b") as file:
        file.seek(4 * 32)
        file.write(b"\x11" * 32)


def spoil_positions(photos):
    path = photos.path / "positions.sqlite"
    data = bytearray(path.read_bytes())
    for page in range(3):
        data[4_096 * page : 4_096 * page + 64] = b"\x55" * 64
    path.write_bytes(data)


@pytest.mark.parametrize("fault", ["repair-collection:1", "repair-collection:2"])
def test_killed_after_one_collection(gap, shoal, fault):
    """What the first run found is read again although the second one alone ends; until then
    `shoal verify` says that none did.
    """
    damage_a_row(gap, "main")
    kill(gap, fault)
    with pytest.raises(IndexCorruptError, match="a repair did not end"):
        gap.run()
    status, said = shoal("verify")
    assert status == 7
    assert "main/damaged: a repair did not end" in said.out
    status, main = told(shoal)
    assert status == 1
    assert main["read_again_from"]
    assert main["lost_commits"]
    assert len(main["send_again"]) == 1
    gap.run()
    assert all(gap.states("x1", "x2"))


def test_the_disk_keeps_what_a_repair_kept(gap, shoal, monkeypatch):
    """All was told, and the positions went back, before that is removed."""
    damage_a_row(gap, "main")
    with monkeypatch.context() as patch:
        keep_damaged(patch)
        status, said = shoal("repair", "--json")
    assert status == 74
    main = json.loads(said.out)["collections"]["main"]
    assert main["read_again_from"]
    assert len(main["send_again"]) == 1
    gap.run()
    assert all(gap.states("x1", "x2"))


def test_killed_when_vectors_were_given_up(photos, shoal):
    """The image is named by the run that ends, and goes from Redis."""
    damage_a_row(photos, "main")
    kill(photos, "repair-committed")
    status, main = told(shoal)
    assert status == 1
    [lost] = main["send_again"]
    photos.run()
    assert photos.states(lost) == [None]
    assert told(shoal)[0] == 0


def test_killed_while_positions_are_made_anew(photos, shoal, axis):
    """No start takes them for whole; the next run reads all again, and collections skip it."""
    ids = [f"{letter}{n}" for letter in "abc" for n in range(10)]
    before = photos.states(*ids)
    spoil_positions(photos)
    kill(photos, "repair-positions")
    with pytest.raises(CorruptError, match="a repair goes on, or did not end"):
        photos.run()
    status, said = shoal("repair")
    assert status == 0
    assert "read again from its start" in said.out
    photos.send("new", axis(6))
    photos.run()
    assert photos.states(*ids) == before
    assert all(photos.states("new"))


def test_one_collection_after_positions_were_not_made_to_their_end(gap, shoal):
    """They are, too: else what goes back for the collection would be undone later."""
    spoil_positions(gap)
    kill(gap, "repair-positions")
    assert shoal("repair", "--collection", "main")[0] == 1
    gap.run()
    assert all(gap.states("x1", "x2"))


def test_a_partition_that_came_with_lost_commits(photos, shoal, axis):
    """It is read from its first record, since nothing is left that says from where."""
    photos.topic.add_partition()

    def send(id_, letter):
        body = {"embedding": [float(x) for x in axis(letter)]}
        photos.topic.append(id_.encode(), json.dumps(body).encode(), partition=1)

    send("x1", 6)
    send("x2", 7)
    lose_commits(photos, photos.run)
    status, main = told(shoal)
    assert status == 1
    assert list(main["read_again_from"]) == ["images/0"]
    photos.run()
    assert all(photos.states("x1", "x2"))


def test_what_people_said_in_lost_commits(photos, shoal):
    """It is said that it is lost; an image that was erased is not back, and named."""
    lose_commits(photos, lambda: photos.alone().erase("main", ["a3"]))
    status, said = shoal("repair")
    assert status == 1
    assert "1 images were erased or replaced by a commit that is lost" in said.out
    assert ": a3" in said.out
    assert "erasures by `shoal erase`, names, corrections, answers, the truth sample" in said.out
    photos.run()
    assert photos.states("a3") == [None]
