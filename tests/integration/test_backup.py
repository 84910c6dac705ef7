"""State off the node: what was backed up comes back, and nothing else is lost."""

import shutil
import threading
from contextlib import contextmanager
from zlib import crc32

import pytest
import redis

from index.findings import Harm
from worker.backup.kept import look
from worker.backup.restore import restore
from worker.backup.take import worker_target
from worker.verify import verify

EXIT_DATA_LOSS = 5


@contextmanager
def coming(stage, streams):
    """These streams are sent one after the other, the last ones when the block has ended."""
    stopping = threading.Event()

    def send():
        for stream in streams:
            stage.send(stream)
            stopping.wait(0.05)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def parts(stream, size):
    return [stream.part(n, n + size) for n in range(0, len(stream.records), size)]


def clusters(stage, images):
    return {image: state.cluster for image, state in stage.states(images).items()}


def test_restored_after_all_was_lost(make_stage, own_valkey, tools):
    """Backed up while images come, killed, disk and Redis lost: all images are there again, and
    those of the backup have the ids that they had.
    """
    stage = make_stage(valkey=own_valkey)
    url = str(stage.folder / "backups")
    stage.create_topic()
    first, more = tools.groups(10, 30), tools.groups(10, 60, seed=1, prefix="m")
    stage.send(first)
    worker = stage.start(backup_url=url, backup_seconds=3_600).ready()
    stage.published(first)
    tools.eventually(lambda: worker.metric("shoal_reclusterings_total", result="published"))
    tools.eventually(lambda: worker.metric("shoal_provisional_images") == 0)
    tools.eventually(lambda: worker.metric("shoal_backups_total", result="good"))
    with coming(stage, parts(more, 20)):
        done, [answer] = stage.shoal("backup", "--json")
        assert done.returncode == 0, answer
        assert answer["answer"].split(":")[0]
    before = clusters(stage, first.images["main"])
    assert worker.metric("shoal_last_backup_timestamp_seconds") > 1e9
    assert worker.metric("shoal_backup_interval_seconds") == 3_600
    worker.kill()
    given_out = {*clusters(stage, before).values()}

    shutil.rmtree(stage.data_dir)
    with redis.Redis.from_url(own_valkey.url) as client:
        client.flushall()
    _, [listed] = stage.shoal("backups", url, "--json")
    assert [row["whole"] for row in listed["backups"]] == ["yes"] * len(listed["backups"])
    assert listed["backups"][-1]["images"] >= len(before)
    done, [restored] = stage.shoal("restore", url, "--json")
    assert done.returncode == 0, done.stderr
    assert restored["backup"] == listed["backups"][-1]["backup"]
    assert restored["read_on_from"].keys() == {f"{stage.topic}/0"}

    worker = stage.start(**tools.NO_RUNS).ready()
    whole = first.with_(more)
    stage.published(whole)
    assert clusters(stage, first.images["main"]) == before
    assert {*clusters(stage, before).values()} == given_out
    assert worker.stop() == 0
    stage.assert_consistent(whole)


def test_the_topic_does_not_reach_back(stage, tools):
    """A restore that the topic cannot fill up says how much is missing, and starts nothing."""
    url = str(stage.folder / "backups")
    stage.create_topic()
    first, lost = tools.groups(4, 10), tools.groups(4, 10, seed=1, prefix="l")
    stage.send(first)
    stage.run()
    done, _ = stage.shoal("backup", "--backup-url", url)
    assert done.returncode == 0, done.stderr
    stage.send(lost)
    stage.run()
    stage.delete_records(before=60)
    shutil.rmtree(stage.data_dir)
    assert stage.shoal("restore", url)[0].returncode == 0
    worker = stage.start()
    assert worker.wait() == EXIT_DATA_LOSS
    assert "20 records" in worker.text()


def test_a_target_that_fails(stage, tools):
    """Ingestion goes on; metric, log and status say what it is, and the next one is good."""
    stage.create_topic()
    url = stage.folder / "backups"
    url.write_text("no folder")
    worker = stage.start(backup_url=url, backup_seconds=2).ready()
    stream = tools.groups(4, 20)
    stage.send(stream)
    stage.published(stream)
    tools.eventually(lambda: worker.metric("shoal_backups_total", result="failed") > 1)
    status = tools.eventually(lambda: stage.client.status("main") or None)
    tools.eventually(lambda: "Not a directory" in str(stage.client.status("main")), what=status)
    assert "no backup" in worker.text()
    assert worker.ask("/readyz") == (200, "ok\n")
    assert stage.shoal("backup")[0].returncode == 1
    url.unlink()
    tools.eventually(lambda: worker.metric("shoal_backups_total", result="good"))
    tools.eventually(lambda: stage.client.status("main")["backup_failure"] is None)
    assert worker.stop() == 0


@pytest.mark.parametrize("killed", ["backup-piece:3", "backup-before-manifest", "backup-remove"])
def test_killed(stage, tools, killed):
    """A backup that is killed is none, the worker goes on, and the next one is whole."""
    stage.create_topic()
    stream = tools.groups(4, 20)
    stage.send(stream)
    url = stage.folder / "backups"
    (url / "worker-0/pieces/00").mkdir(parents=True)
    (url / "worker-0/pieces/00/left-over").touch()
    worker = stage.start(backup_url=url, SHOAL_FAULT=killed).ready()
    stage.published(stream)
    tools.eventually(lambda: worker.metric("shoal_backups_total", result="failed"))
    assert worker.stop() == 0
    _, [listed] = stage.shoal("backups", str(url), "--json")
    assert len(listed["backups"]) == (killed == "backup-remove")
    assert stage.shoal("backup", backup_url=url)[0].returncode == 0
    _, [listed] = stage.shoal("backups", str(url), "--json")
    assert {row["whole"] for row in listed["backups"]} == {"yes"}
    shutil.rmtree(stage.data_dir)
    assert stage.shoal("restore", str(url))[0].returncode == 0
    stage.run()
    stage.assert_consistent(stream)


def test_another_number_of_workers(stage, tools):
    """One worker becomes two, and two become one: collections move with their partitions."""
    stage.create_topic(partitions=2)

    def send(stream):
        """Each collection to a partition of its own."""
        stage.send(tools.Stream())
        for key, value, headers in stream.records:
            partition = int(b'"user:2"' in value)
            stage._producer.send(stage.topic, value, key, list(headers), partition)
        stage._producer.flush()

    def both(seed, prefix):
        main = tools.groups(4, 10, seed=seed, prefix=prefix)
        user = tools.groups(4, 10, seed=seed, prefix=prefix, collection="user:2")
        return tools.Stream(main.records + user.records, main.images | user.images)

    streams = [both(seed, prefix) for seed, prefix in enumerate("abc")]
    send(streams[0])
    stage.run()
    second = stage.folder / "second"
    done, [moved] = stage.shoal("move", "user:2", "--to", str(second), "--json")
    assert done.returncode == 0, done.stderr
    assert moved["read_on_from"] == {f"{stage.topic}/1": 40}

    send(streams[1])
    halves = [
        stage.start(once="true", worker_count=2, worker_ordinal=ordinal, data_dir=folder)
        for ordinal, folder in enumerate((stage.data_dir, second))
    ]
    assert [half.wait() for half in halves] == [0, 0]
    assert not (second / "collections" / "main").exists()
    assert not (stage.data_dir / "collections" / "user:2").exists()

    done, _ = stage.shoal("move", "user:2", "--to", str(stage.data_dir), data_dir=second)
    assert done.returncode == 0, done.stderr
    send(streams[2])
    stage.run()
    for name in ("main", "user:2"):
        every = [image for stream in streams for image in stream.images[name]]
        assert len(stage.states(every, name)) == 120
        assert all(stage.states(every, name).values())
    images = {
        n: {i: v for s in streams for i, v in s.images[n].items()} for n in ("main", "user:2")
    }
    stage.assert_consistent(tools.Stream([], images))


KEYED = ("main", "user:2", "family:8")


def send_keyed(stage, tools, seed, partitions):
    """Images of each collection, sent by producers that choose the partition by the collection and
    that were started anew, so that they know how many there are; vectors by collection and id.
    """
    if stage._producer is not None:
        stage._producer.close()
        stage._producer = None
    stage.send(tools.Stream())
    sent = {n: tools.groups(4, 10, seed=seed, prefix=f"{seed}-", collection=n) for n in KEYED}
    for name, stream in sent.items():
        for key, value, headers in stream.records:
            to = crc32(name.encode()) % partitions
            stage._producer.send(stage.topic, value, key, list(headers), to)
    stage._producer.flush()
    return {name: stream.images[name] for name, stream in sent.items()}


def keyed_clusters(stage, images):
    """The cluster of each image, by collection."""
    return {
        name: {image: state.cluster for image, state in stage.states(vectors, name).items()}
        for name, vectors in images.items()
    }


def test_another_number_of_partitions(stage, tools):
    """A partition and a worker more, as the runbook goes about it with producers that choose by the
    collection: each image keeps its cluster, and what comes later finds its collection.
    """
    second = stage.folder / "second"

    def both():
        shares = enumerate((stage.data_dir, second))
        workers = [
            stage.start(
                once="true", worker_count=2, worker_ordinal=n, data_dir=folder, **tools.NO_RUNS
            )
            for n, folder in shares
        ]
        assert [worker.wait() for worker in workers] == [0, 0]

    stage.create_topic(partitions=1)
    images = send_keyed(stage, tools, 0, 1)
    stage.run()  # takes what is there
    before = keyed_clusters(stage, images)
    with stage.admin() as admin:
        admin.create_partitions({stage.topic: 2})
    changing = [name for name in KEYED if crc32(name.encode()) % 2]
    assert changing == ["family:8"]
    for name in changing:
        done, [moved] = stage.shoal("move", name, "--to", str(second), "--json")
        assert done.returncode == 0, done.stderr
        assert moved["read_on_from"] == {f"{stage.topic}/0": 120}
    both()
    assert keyed_clusters(stage, images) == before

    later = send_keyed(stage, tools, 1, 2)
    both()
    assert keyed_clusters(stage, images) == before
    for name, clusters_of in keyed_clusters(stage, later).items():
        for image, cluster in clusters_of.items():  # 1-3-7 is of the group of 0-3-7
            assert cluster == before[name][f"0{image[1:]}"]
    for folder, there in ((stage.data_dir, KEYED[:2]), (second, changing)):
        stage.data_dir = folder
        every = {name: images[name] | later[name] for name in there}
        stage.assert_consistent(tools.Stream([], every))


def test_on_another_machine(stage, tools):
    """A copy of the data directory of a worker that was stopped serves elsewhere, and at once."""
    stage.create_topic()
    first, more = tools.groups(4, 10), tools.groups(4, 10, seed=1, prefix="m")
    stage.send(first)
    worker = stage.start().ready()
    stage.published(first)
    assert worker.stop() == 0
    before = clusters(stage, first.images["main"])
    other = stage.folder / "other"
    shutil.copytree(stage.data_dir, other)
    stage.send(more)
    assert stage.start(data_dir=other, once="true", **tools.NO_RUNS).wait() == 0
    assert clusters(stage, first.images["main"]) == before
    stage.data_dir = other
    stage.assert_consistent(first.with_(more))


def test_one_collection_from_another_worker(stage, tools):
    """By way of a backup, where the two data directories are not on one machine."""
    stage.create_topic()
    stream = tools.eventful()
    stage.send(stream)
    url, other = str(stage.folder / "backups"), stage.folder / "other"
    numbered = {"worker_count": 2, "worker_ordinal": 1}
    stage.run()
    assert stage.shoal("backup", backup_url=url, **numbered)[0].returncode == 0
    _, [nothing] = stage.shoal("backups", url, "--json")
    assert nothing["backups"] == []
    _, [listed] = stage.shoal("backups", url, "--from-worker", "1", "--json")
    [name] = [row["backup"] for row in listed["backups"]]
    words = ("restore", url, "--from-worker", "1", "--at", name, "--collection", "user:2")
    done, _ = stage.shoal(*words, data_dir=other)
    assert done.returncode == 0, done.stderr
    assert "user:2: 23 images" in done.stdout
    assert verify(other).harm is Harm.NONE
    assert stage.shoal(*words, data_dir=other)[0].returncode == 3


def test_each_of_many_is_whole(stage, tools):
    """One after the other while images come, change and go, runs are published, snapshots taken and
    erasures purged: each can be restored, and nothing in it disagrees.
    """
    stage.create_topic()
    stream = tools.eventful()
    url = stage.folder / "backups"
    worker = stage.start(
        backup_url=url,
        backup_seconds=0.05,
        backup_keep=100,
        batch_records=7,
        snapshot_images=20,
        erasure_seconds=2,
        recluster_images=30,
    ).ready()
    parts = [tools.Stream(stream.records[n : n + 20]) for n in range(0, len(stream.records), 20)]
    for number, part in enumerate(parts):
        stage.send(part)
        tools.eventually(
            lambda least=number: (worker.metric("shoal_backups_total", result="good") or 0) > least
        )
    stage.published(stream)
    tools.eventually(lambda: worker.metric("shoal_purges_total") > 0)
    assert worker.metric("shoal_backups_total", result="failed") == 0
    assert worker.stop() == 0
    target = worker_target(str(url), 0)
    whole = look(target).whole
    assert len(whole) >= len(parts)
    for name, backup in whole.items():
        again = stage.folder / name
        restore(target, backup, again)
        assert [f for f in verify(again).findings if f.harm is not Harm.NONE] == []
        shutil.rmtree(again)
