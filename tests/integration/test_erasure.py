"""Erasures with real servers: by the command, while images come, and whatever dies meanwhile."""

import json

import numpy as np
import pytest
from redis import Redis

# So short that a purge is due at once; and so long that none is.
AT_ONCE = {"erasure_seconds": 0.001}
LATER = {"erasure_seconds": 86_400}

PURGE = ["E2", "E3", "E4-generations", "E4-runs", "E4", "E5", "E6", "E7"]
PURGE += ["snapshot-before-rename", "snapshot-after-rename"]


def verify(stage, image, vector=None):
    """What `shoal verify-erased` says; its exit status agrees with it."""
    more = []
    if vector is not None:
        path = stage.folder / "vector.npy"
        np.save(path, vector)
        more = ["--vector", str(path)]
    done, answers = stage.shoal("verify-erased", image, *more, "--json")
    assert len(answers) == 1, done.stderr
    [answer] = answers
    assert done.returncode == (1 if answer["found"] else 0)
    return answer


def assert_gone(stage, image, vector):
    answer = verify(stage, image, vector)
    assert answer["found"] == []
    assert answer["vector_searched"]
    assert answer["searched"]["files"] > 5
    assert answer["searched"]["keys"] > 5


def places(answer):
    """Names of the files and keys in which something was found."""
    return {trace["where"].rpartition("/")[2].rpartition("}:")[2] for trace in answer["found"]}


def test_erased_while_images_come(stage, tools):
    """Erased by the command it is missed at once, and gone without a trace soon, while a stream of
    images goes on.
    """
    stage.create_topic()
    stream = tools.groups(6, 30)
    stage.send(stream)
    worker = stage.start(**tools.NO_RUNS, erasure_seconds=3, snapshot_images=60).ready()
    stage.published(stream)
    vectors = {image: stream.images["main"].pop(image) for image in ("i0-3", "i1-3", "i2-3")}
    there = verify(stage, "i0-3")
    assert there["there"]
    assert {"catalog.sqlite", "vectors.f32", "events"} <= places(there)

    done, [answer] = stage.shoal("erase", *vectors, "i0-33", "--json")
    assert (done.returncode, answer["erased"], answer["absent"]) == (0, list(vectors), ["i0-33"])
    late = tools.groups(6, 20, seed=1, prefix="late")
    stage.send(late)
    stage.published(stream.with_(late))
    tools.eventually(lambda: worker.metric("shoal_purges_total") >= 1)
    tools.eventually(lambda: worker.metric("shoal_erasures_waiting") == 0)
    for image, vector in vectors.items():
        assert_gone(stage, image, vector)
    assert worker.metric("shoal_hnsw_deleted_ratio") == 0
    assert worker.stop() == 0
    stage.assert_consistent(stream.with_(late))


def test_what_is_left_is_found(stage, tools):
    """Until the purge files and events are found; a vector that another image has stays, and the
    answer names that image.
    """
    stage.create_topic()
    stream = tools.groups(6, 10)
    vector = stream.images["main"]["i0-3"]
    stream.add("i0-3-copy", vector)
    stage.send(stream)
    assert stage.run(**LATER).exit_code == 0
    for image in ("i0-3", "i1-3"):
        done, [answer] = stage.shoal("erase", image, "--json")
        assert (done.returncode, answer["erased"]) == (0, [image])
    lone = stream.images["main"]["i1-3"]
    left = verify(stage, "i1-3", lone)
    assert not left["there"]
    assert left["gone_by"] == left["erased_at"] + 86_400
    assert {"catalog.sqlite", "hnsw.bin", "events"} <= places(left)
    assert "vectors.f32" not in places(left)
    assert left["same_vector"] == []

    assert stage.run(**AT_ONCE).exit_code == 0
    assert_gone(stage, "i1-3", lone)
    alone = verify(stage, "i0-3")
    assert (alone["found"], alone["vector_searched"]) == ([], False)
    shared = verify(stage, "i0-3", vector)
    assert shared["same_vector"] == ["i0-3-copy"]
    assert places(shared) == {"vectors.f32", "hnsw.bin", "catalog.sqlite"}
    for image in ("i0-3", "i1-3"):
        del stream.images["main"][image]
    stage.assert_consistent(stream)


def test_what_is_no_trace_of_it(stage, tools, acl_user):
    """Another collection's image of that id, and what other programs have, are told apart; what
    may not be read, and a vector that is not known, are said not to be searched.
    """
    stage.create_topic()
    stream = tools.groups(2, 10)
    for image, vector in list(stream.images["main"].items()):
        stream.add(image, vector, "user:2")
    stage.send(stream)
    assert stage.run(**LATER).exit_code == 0
    done, _ = stage.shoal("erase", "i0-3", "--json")
    assert done.returncode == 0
    assert stage.run(**AT_ONCE).exit_code == 0
    redis = Redis.from_url(stage.valkey.url)
    name = f"{stage.name}-foreign".encode() + b"\xff"
    redis.hset(name, mapping={b"\xfe": b"i0-3", b"a": b"\x00\xff"})
    answer = verify(stage, "i0-3")
    assert (answer["found"], answer["vector_searched"]) == ([], False)
    assert "--vector" in answer["not_searched"]
    assert {trace["owner"] for trace in answer["elsewhere"]} == {"user:2", ""}
    files = {t["where"] for t in answer["elsewhere"] if not t["where"].startswith("redis ")}
    assert all(file.startswith("collections/user:2/") for file in files)
    known = verify(stage, "i0-3", stream.images["main"]["i0-3"])
    assert (known["found"], known["not_searched"]) == ([], None)
    assert {t["what"] for t in known["elsewhere"]} >= {"id", "vector"}
    done, _ = stage.shoal("verify-erased", "i0-3")
    first, *_, last = done.stdout.splitlines()
    assert first == "main: i0-3: nothing found of its id"
    assert "ITS VECTOR WAS NOT SEARCHED FOR" in done.stdout
    assert "an image of the collection user:2, a key of another program" in done.stdout
    assert last.startswith("searched ")
    url = acl_user(redis, f"%R~{stage.name}:*")
    done, [answer] = stage.shoal("verify-erased", "i0-3", "--json", redis_url=url)
    assert answer["searched"]["unread_keys"] >= 1
    assert {trace["owner"] for trace in answer["elsewhere"]} == {"user:2"}
    redis.delete(name)


@pytest.fixture
def acl_user(stage):
    """Makes a user of Redis who may read keys of one pattern; the URL."""
    made = []

    def make(redis, pattern):
        made.append((redis, f"user-{stage.name}"))
        rights = "resetchannels -@all +@read +scan +type"
        redis.execute_command(
            "ACL", "SETUSER", made[-1][1], "on", ">secret", pattern, *rights.split()
        )
        return stage.valkey.url.replace("redis://", f"redis://{made[-1][1]}:secret@")

    yield make
    for redis, user in made:
        redis.execute_command("ACL", "DELUSER", user)


def test_a_trace_in_another_collection(stage, tools):
    """What lies in the folder of a collection that has no such image is a trace."""
    stage.create_topic()
    stream = tools.groups(1, 5)
    stream.add("x", stream.images["main"]["i0-0"], "user:2")
    stage.send(stream)
    assert stage.run(**AT_ONCE).exit_code == 0
    (stage.data_dir / "collections/user:2/stray.json").write_text('"i0-9"')
    [trace] = verify(stage, "i0-9")["found"]
    assert (trace["where"], trace["owner"]) == ("collections/user:2/stray.json", "user:2")


@pytest.mark.parametrize("fault", PURGE)
def test_killed_in_a_purge(stage, tools, fault):
    """Killed at any step of it, the next start ends it: nothing of what was erased or replaced is
    left, and nothing else is missing.
    """
    stage.create_topic(partitions=2)
    stream = tools.eventful(seed=3)
    stage.send(stream)
    assert stage.run(**LATER, batch_records=30, snapshot_images=60).exit_code == 0
    assert stage.run(fault=fault, **AT_ONCE).exit_code == -9
    assert stage.run(**AT_ONCE).exit_code == 0
    stage.assert_consistent(stream)
    stage.assert_grouped(stream)
    content = [path.read_bytes() for path in stage.data_dir.rglob("*") if path.is_file()]
    images, vectors = gone(stream)
    assert len(vectors) > 15
    assert not [v for v in vectors if any(v.tobytes() in text for text in content)]
    for image, vector in list(images.items())[:3]:
        assert_gone(stage, image, vector)


def gone(stream):
    """Erased images with a vector that no image has any more, and all such vectors."""
    kept = {vector.tobytes() for vector in stream.images["main"].values()}
    sent, vectors = {}, []
    for key, value, headers in stream.records:
        body = json.loads(value) if value and value[:1] == b"{" else None
        if body and "collection" not in body and not headers:
            vector = np.asarray(body["embedding"], np.float32)
            if vector.tobytes() not in kept:
                sent[key.decode()] = vector
                vectors.append(vector)
    return {i: v for i, v in sent.items() if i not in stream.images["main"]}, vectors


def test_killed_when_it_was_recorded(stage, tools):
    """Killed between the record of an erasure and its answer, it is erased."""
    stage.create_topic()
    stream = tools.groups(6, 10)
    stage.send(stream)
    assert stage.run(**LATER).exit_code == 0
    asked = tools.Mailbox(stage.data_dir).send("erase", "main", "i0-3", "i1-3")
    assert stage.run(fault="3c", **LATER).exit_code == -9
    assert stage.run(**LATER).exit_code == 0
    assert tools.Mailbox(stage.data_dir).wait(asked, 1.0) == '["absent", "absent"]'
    for image in ("i0-3", "i1-3"):
        del stream.images["main"][image]
    stage.assert_consistent(stream)


def test_ids_from_standard_input(stage, tools):
    """`shoal erase -` reads ids, one a line; what the commands print for people."""
    stage.create_topic()
    stream = tools.groups(4, 10)
    stage.send(stream)
    assert stage.run(**LATER).exit_code == 0
    _, [answer] = stage.shoal("erase", "-", "--json", text="i0-3\n\ni1-3\ni0-3\n")
    assert answer == {"collection": "main", "erased": ["i0-3", "i1-3"], "absent": []}
    assert stage.states(["i0-3", "i0-4"])["i0-3"] is None
    done, _ = stage.shoal("erase", "i2-3", "i2-33")
    assert done.stdout == "main: erased 1 of 2; not there: i2-33\n"
    done, _ = stage.shoal("verify-erased", "i2-3")
    assert done.returncode == 1
    assert "its erasure is under way; nothing is left by " in done.stdout
    done, _ = stage.shoal("verify-erased", "nobody-at-all")
    assert done.returncode == 0
    assert done.stdout.startswith("main: nobody-at-all: nothing found of its id\n")
    np.save(stage.folder / "short.npy", np.ones(3, np.float32))
    done, _ = stage.shoal("verify-erased", "i2-3", "--vector", str(stage.folder / "short.npy"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "vector: shape (3,); it must be (16,)" in done.stderr
