"""The operations of docs/runbook.md that no other test tries, in its own lines."""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import redis
from loading import load

FORMAT_1 = Path(__file__).parents[1] / "index" / "format_1.py"
NEWER_STATUS = 3


def clusters(stage, images, collection="main"):
    return {image: state.cluster for image, state in stage.states(images, collection).items()}


def done(stage, *words, text="", **settings):
    """A command that must go well; what it printed."""
    ended, answers = stage.shoal(*words, text=text, **settings)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return answers[0] if answers else ended.stdout


def uris(stage):
    with closing(sqlite3.connect(stage.data_dir / "collections/main/catalog.sqlite")) as catalog:
        return dict(catalog.execute("SELECT id, uri FROM image"))


def test_reread(stage, tools):
    """What another setting makes of the records of before is there after it; ids of clusters stay,
    and what a null value erased stays away.
    """
    stage.create_topic(partitions=2)
    stream = tools.groups(5, 10)
    stream.add("i0-0", stream.images["main"]["i0-0"], place={"at": "somewhere"})
    stream.erase("i1-1")
    stage.send(stream)
    stage.run()
    before = clusters(stage, stream.images["main"])
    done(stage, "erase", "i2-2")
    assert uris(stage)["i0-0"] is None

    said = done(stage, "reread")
    assert f"{stage.topic}/0, {stage.topic}/1" in said
    worker = stage.start(uri_field="place.at").ready()
    tools.eventually(lambda: worker.metric("shoal_records_total") == len(stream.records))
    tools.eventually(lambda: worker.metric("shoal_lag_records") == 0)
    stage.published(stream)  # the erased one is back: the topic has it
    assert worker.metric("shoal_writes_total", outcome="unchanged") == 49
    assert worker.metric("shoal_replayed_records_total") == 0
    assert clusters(stage, before) == before | {"i2-2": clusters(stage, ["i2-2"])["i2-2"]}
    assert worker.stop() == 0
    assert uris(stage)["i0-0"] == "somewhere"
    stage.assert_consistent(stream)


def test_rebuild_redis(make_stage, own_valkey, tools):
    """Emptied under a worker, all of it or one collection, Redis is written anew as it was."""
    stage = make_stage(valkey=own_valkey)
    stage.create_topic()
    stream = tools.eventful()
    stage.send(stream)
    worker = stage.start(lease_seconds=3).ready()
    stage.published(stream)
    done(stage, "recluster")
    tools.eventually(lambda: worker.metric("shoal_unpublished_images") == 0)
    before = {name: clusters(stage, images, name) for name, images in stream.images.items()}

    with redis.Redis.from_url(own_valkey.url) as client:
        for empty in (
            client.flushdb,
            lambda: client.delete(*(f"{stage.name}:{{main}}:{key}" for key in ("meta", "writer"))),
        ):
            rebuilds = worker.metric("shoal_store_rebuilds_total")
            empty()
            began = time.monotonic()
            tools.eventually(
                lambda least=rebuilds: worker.metric("shoal_store_rebuilds_total") > least
            )
            stage.published(stream)
            seconds = time.monotonic() - began
            print(f"\nwritten anew after {seconds:.1f} s, lease 3 s")  # noqa: T201  a figure
            for name, known in before.items():
                assert clusters(stage, known, name) == known
    assert worker.stop() == 0
    stage.assert_consistent(stream)


@pytest.fixture(scope="module")
def format_1():
    return load(FORMAT_1)


def set_format(path, number):
    """As another version would have left it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        if number == 1:
            db.execute("DROP TABLE commits")
        db.execute(f"PRAGMA user_version = {number}")
    path.with_name(f"{path.name}.sums").unlink()


def test_upgrade_and_downgrade(stage, tools, format_1):
    """An older data directory is upgraded by the start. A newer one is refused and left alone, and
    the backup of before goes on from where it was.
    """
    stage.create_topic()
    first, more = tools.groups(5, 10), tools.groups(5, 10, seed=1, prefix="m")
    stage.send(first)
    stage.run()
    before = clusters(stage, first.images["main"])
    catalog, positions = stage.data_dir / "collections/main", stage.data_dir / "positions.sqlite"
    format_1.downgrade(catalog)
    set_format(positions, 1)
    worker = stage.start(**tools.NO_RUNS).ready()
    assert clusters(stage, before) == before
    assert worker.stop() == 0
    assert done(stage, "verify") == "main: whole\n"

    kept = str(stage.folder / "before-0.2")
    done(stage, "backup", "--backup-url", kept)
    stage.send(more)
    stage.run(**tools.NO_RUNS)
    for path in (catalog / "catalog.sqlite", positions):
        set_format(path, 3)
    content = {p: p.read_bytes() for p in stage.data_dir.rglob("*.sqlite")}
    worker = stage.start()
    assert worker.wait() == NEWER_STATUS
    assert "format 3; this version reads up to 2" in worker.text()
    assert {p: p.read_bytes() for p in content} == content

    shutil.move(stage.data_dir, f"{stage.data_dir}.newer")
    done(stage, "restore", kept)
    worker = stage.start(**tools.NO_RUNS).ready()
    whole = first.with_(more)
    stage.published(whole)
    assert clusters(stage, before) == before
    assert worker.stop() == 0
    stage.assert_consistent(whole)


def test_erase_a_person(stage, tools):
    """All images of a cluster go, from files, Redis and, asked for, backups; the others stay."""
    stage.create_topic()
    stream = tools.groups(5, 12, prefix="person")
    stage.send(stream)
    url = stage.folder / "backups"
    worker = stage.start(erasure_seconds=2, backup_url=url, recluster_first_images=60).ready()
    stage.published(stream)
    tools.eventually(lambda: worker.metric("shoal_provisional_images") == 0)
    tools.eventually(lambda: worker.metric("shoal_backups_total", result="good"))
    person = clusters(stage, ["person0-0"])["person0-0"]
    done(stage, "name", person, "Anna")

    ids = done(stage, "members", person, "--json")["members"]
    assert sorted(ids) == sorted(f"person0-{n}" for n in range(12))
    done(stage, "name", person, "")
    assert done(stage, "erase", "-", text="\n".join(ids)) == "main: erased 12 of 12\n"
    vectors = [stream.images["main"].pop(image) for image in ids]
    stage.published(stream)
    tools.eventually(lambda: worker.metric("shoal_purges_total") >= 1)
    tools.eventually(lambda: worker.metric("shoal_erasures_waiting") == 0)
    for image in ids[:1]:
        assert done(stage, "verify-erased", image).startswith(f"main: {image}: nothing found")

    assert worker.stop() == 0
    done(stage, "backup", "--backup-url", str(url), "--backup-keep", "1")
    folders = (stage.data_dir, url)
    content = b"".join(p.read_bytes() for f in folders for p in f.rglob("*") if p.is_file())
    assert b"person1-0" in content
    sought = [b"Anna", *map(str.encode, ids), *(vector.tobytes() for vector in vectors)]
    assert [one for one in sought if one in content] == []
    stage.assert_consistent(stream)


def test_erase_a_collection(stage, tools):
    """Its folder and its keys are all there is of it; the worker goes on without it."""
    stage.create_topic()
    stream = tools.eventful()
    stage.send(stream)
    stage.run()
    shutil.rmtree(stage.data_dir / "collections" / "user:2")
    with redis.Redis.from_url(stage.valkey.url) as client:
        client.unlink(*client.scan_iter(f"{stage.name}:{{user:2}}:*"))
        client.srem(f"{stage.name}:collections", "user:2")
        stage.run()
        assert list(client.scan_iter(f"{stage.name}:*user:2*")) == []
    assert list(stage.client.collections()) == ["main"]
    del stream.images["user:2"]
    stage.assert_consistent(stream)
