"""What the worker does when its disk fails, is slow, or is another one."""

import errno
import os
import threading

import pytest
from full import full_disk

from index import CollectionIndex, files
from worker.errors import SourceUnavailableError
from worker.lock import DirectoryLock
from worker.recluster import generations
from worker.requests import Mailbox


def failing(call, number, times=10**9):
    """`call`, but that it fails with the errno `number` the first `times` times."""
    left = [times]

    def fail(*given):
        if left[0] == 0:
            return call(*given)
        left[0] -= 1
        raise OSError(number, os.strerror(number))

    return fail


def opened(monkeypatch):
    """The list of collections that are opened from now on."""
    folders, open_ = [], CollectionIndex.open.__func__

    def note(cls, directory, **options):
        folders.append(directory.name)
        return open_(cls, directory, **options)

    monkeypatch.setattr(CollectionIndex, "open", classmethod(note))
    return folders


@pytest.fixture
def bench_with_images(bench, axis):
    """A worker took ten images; ten more are waiting."""
    for number in range(10):
        bench.send(f"a{number}", axis(number % 2, tilt=number / 50))
    bench.run()
    for number in range(10):
        bench.send(f"b{number}", axis(number % 2, tilt=number / 70))
    return bench


def test_a_batch_that_finds_no_room_is_held(bench_with_images, monkeypatch):
    """Reading pauses, `/readyz` names the file, and the batch is logged when there is room."""
    bench = bench_with_images
    worker = bench.worker()
    folders = opened(monkeypatch)
    reasons, sleep = [], bench.clock.sleep

    def wait(seconds):
        reasons.append((worker.ready(), worker.healthy(), bench.metrics.paused._value.get()))
        sleep(seconds)

    bench.clock.sleep = wait
    monkeypatch.setattr("os.pwrite", failing(os.pwrite, errno.ENOSPC, 3))
    worker.run()
    reason, healthy, paused = reasons[0]
    assert "the disk fails: [Errno 28] No space left on device" in reason
    assert f"{bench.path}/collections/main/vectors.f32" in reason
    assert (healthy, paused) == (None, 1)
    assert len(reasons) >= 10, "the wait grows"
    assert bench.metrics.disk_errors._value.get() == 3
    assert bench.metrics.paused._value.get() == 0
    assert folders == ["main"], "nothing was in doubt"
    assert bench.store.summary("main").images == 20


def test_a_sync_that_fails_opens_the_collection_again(bench_with_images, monkeypatch):
    """What a failed fsync was to confirm is not believed: the collection is read from the disk."""
    bench = bench_with_images
    worker = bench.worker()
    worker._collections.get("main")
    folders = opened(monkeypatch)
    monkeypatch.setattr("index.vectors.os.fsync", failing(os.fsync, errno.EIO, 1))
    worker.run()
    assert folders == ["main"]
    assert bench.store.summary("main").images == 20


def test_a_disk_that_fails_behind_the_log(bench_with_images):
    """What is logged is indexed, and gets a cluster, also if whoever hears of it cannot read."""
    bench = bench_with_images
    worker = bench.worker()
    heard, failures = worker._ingest.heard, [OSError(errno.EIO, os.strerror(errno.EIO))]

    def hear(*logged):
        if failures:
            raise failures.pop()
        heard(*logged)

    worker._ingest.heard = hear
    rounds, left = worker._round, iter(range(200))
    worker._round = lambda: rounds() if next(left, None) is not None else pytest.fail("no end")
    worker.run()
    assert not failures
    assert all(bench.states(*(f"b{number}" for number in range(10))))


def test_a_worker_that_is_stopped_while_the_disk_fails(bench_with_images, monkeypatch):
    """It ends with the disk's error, and the next start takes what it held."""
    bench = bench_with_images
    worker = bench.worker()
    sleep = bench.clock.sleep
    bench.clock.sleep = lambda seconds: (worker.stop(), sleep(seconds))
    with monkeypatch.context() as patched:
        patched.setattr("os.pwrite", failing(os.pwrite, errno.EROFS))
        with pytest.raises(OSError, match="Read-only file system"):
            worker.run()
    bench.run()
    assert bench.store.summary("main").images == 20


def test_the_disk_fails_at_the_start(bench_with_images, monkeypatch):
    """A worker whose collections cannot be opened yet waits for the disk."""
    bench = bench_with_images
    monkeypatch.setattr("index.vectors.os.fsync", failing(os.fsync, errno.EIO, 2))
    bench.run()
    assert bench.store.summary("main").images == 20


def test_leases_are_kept_while_the_disk_fails(bench_with_images, monkeypatch):
    """An outage longer than a lease lets no other worker in."""
    bench = bench_with_images
    worker = bench.worker()
    monkeypatch.setattr("os.pwrite", failing(os.pwrite, errno.ENOSPC, 6))
    held, sleep = [], bench.clock.sleep

    def wait(seconds):
        sleep(seconds)
        held.append(bench.store._is_held(bench.store._collections["main"]))

    bench.clock.sleep = wait
    worker.run()
    assert len(held) * 0.5 > 15, "longer than a lease"
    assert all(held)


def test_a_run_whose_end_the_disk_does_not_take_has_failed(bench_with_images, monkeypatch):
    """Who asked for a run that the disk ended is told so, and the next run is not hindered."""
    bench = bench_with_images
    request = Mailbox(bench.path).send("recluster", "main")
    monkeypatch.setattr("worker.takeover.sync_folder", failing(lambda _: None, errno.EIO, 1))
    bench.run()
    answer = (bench.path / "requests" / f"{request}.answer").read_text()
    assert answer.startswith("failed: [Errno 5]")
    bench.run()
    assert not bench.states("b0")[0].provisional


@pytest.mark.parametrize("size", [0, 2_000, 6_000])
def test_a_run_whose_labels_find_no_room_has_failed(bench, axis, monkeypatch, size):
    """However much of them the disk still took, the worker goes on and the run is done again."""
    for number in range(1_500):
        bench.send(f"a{number}", axis(number % 2, tilt=number / 2_000))
    bench.run()
    request = Mailbox(bench.path).send("recluster", "main")
    save = generations.save

    def save_on_a_full_disk(*given, **options):
        monkeypatch.undo()
        with full_disk(size):
            save(*given, **options)

    monkeypatch.setattr("worker.adopt.generations.save", save_on_a_full_disk)
    bench.run()
    answer = (bench.path / "requests" / f"{request}.answer").read_text()
    assert answer.startswith("failed: [Errno 27] File too large; ")
    assert "/labels.npy" in answer
    bench.run()
    assert not bench.states("a0")[0].provisional


def test_dead_letters_that_wait_say_so(bench, axis):
    """While dead letters cannot be kept reading is paused, and `/readyz` says why."""
    bench.topic.append(b"bad", b"not json")
    bench.send("good", axis(0))
    worker = bench.worker()
    send, sleep, reasons = bench.dead_letters.send, bench.clock.sleep, []

    def refuse(letters):
        if len(reasons) < 3:
            raise SourceUnavailableError("no room")
        send(letters)

    def wait(seconds):
        reasons.append(worker.ready())
        sleep(seconds)

    bench.dead_letters.send, bench.clock.sleep = refuse, wait
    worker.run()
    assert set(reasons) == {"reading is paused: dead letters wait: no room"}
    assert len(bench.dead_letters.letters) == 1
    assert bench.metrics.paused._value.get() == 0


def _in_a_thread(worker, started, go_on, check):
    """Run a worker in a thread; `check` once it has `started` to wait for `go_on`."""
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert started.wait(30)
        check()
    finally:
        go_on.set()
        thread.join(30)
    assert not thread.is_alive()


def test_a_slow_disk_is_no_stuck_loop(bench_with_images, monkeypatch):
    """A worker that waits for its disk for a quarter of an hour is healthy, but not ready."""
    bench = bench_with_images
    worker = bench.worker()
    worker._collections.get("main")
    started, go_on, fsync = threading.Event(), threading.Event(), os.fsync

    def slow(file):
        started.set()
        go_on.wait(30)
        fsync(file)

    def check():
        bench.clock.advance(900)
        assert worker.healthy() is None
        assert worker.ready().startswith("the disk is slow: ")
        assert "vectors.f32" in worker.ready()

    monkeypatch.setattr("index.vectors.os.fsync", slow)
    _in_a_thread(worker, started, go_on, check)
    assert bench.store.summary("main").images == 20


def test_a_loop_that_hangs_is_not_healthy(bench):
    """A loop that does not come round for another reason than the disk is stuck."""
    worker = bench.worker()
    started, go_on = threading.Event(), threading.Event()

    def hang(*_):
        started.set()
        go_on.wait(30)
        return []

    def check():
        assert worker.healthy() is None
        bench.clock.advance(900)
        assert worker.healthy() == "the loop is stuck since 900 s"

    worker._source.poll = hang
    _in_a_thread(worker, started, go_on, check)


def test_another_directory_in_its_place(tmp_path):
    """A data directory that is not the locked one, as when nothing is mounted, is noticed."""
    data, away = tmp_path / "data", tmp_path / "away"
    with DirectoryLock(data) as lock:
        lock.check()
        data.rename(away)
        data.mkdir()
        with pytest.raises(OSError, match="another than at the start"):
            lock.check()
        (data / "lock").touch()
        with pytest.raises(OSError, match="another than at the start"):
            lock.check()
        (data / "lock").unlink()
        data.rmdir()
        away.rename(data)
        lock.check()


class Mount:
    """The data directory of a bench, which may be away: an empty folder is in its place then."""

    def __init__(self, path):
        self._path, self._away = path, path.with_name("away")
        self._lost = False

    def lose(self):
        """Take it away, the first time that this is called."""
        if not self._lost:
            self._lost = True
            self._path.rename(self._away)
            self._path.mkdir()

    def put_back(self):
        """Put it back, in the place of a folder that must be empty still."""
        if self._away.exists():
            assert list(self._path.rglob("*")) == []
            self._path.rmdir()
            self._away.rename(self._path)


def run_while_it_is_away(bench, worker, mount):
    """Run a worker whose data directory is away for some time; what `ready` said meanwhile."""
    reasons, sleep = [], bench.clock.sleep

    def wait(seconds):
        reasons.append(worker.ready())
        sleep(seconds)
        if len(reasons) == 5:
            mount.put_back()

    bench.clock.sleep = wait
    worker.run()
    assert len(reasons) >= 5, "it was waited for"
    return reasons


@pytest.mark.parametrize("moment", ["between two rounds", "while it polls"])
def test_nothing_is_written_in_the_place_of_the_data_directory(bench_with_images, axis, moment):
    """Whenever it is away, and although no write fails: the worker waits until it is back."""
    bench = bench_with_images
    bench.send("c0", axis(0), collection="user")
    worker = bench.worker(batch_records="10")
    mount, rounds, poll = Mount(bench.path), worker._round, worker._source.poll

    def go_round():
        rounds()
        mount.lose()

    def poll_and_lose(*limits):
        found = poll(*limits)
        if any(raw.key == b"c0" for raw in found):
            mount.lose()
        return found

    if moment == "between two rounds":
        worker._round = go_round
    else:
        worker._source.poll = poll_and_lose
    reasons = run_while_it_is_away(bench, worker, mount)
    assert all("another than at the start" in reason for reason in reasons)
    assert bench.store.summary("main").images == 20
    assert bench.store.summary("user").images == 1
    assert bench.path.joinpath("collections/user/catalog.sqlite").exists()


def test_an_erasure_that_comes_while_the_data_directory_is_away(bench_with_images, axis):
    """A closed collection is not taken for one that never was."""
    bench = bench_with_images
    bench.send("c0", axis(0), collection="user")
    bench.run()
    bench.erase("a0")
    worker = bench.worker(open_collections="1")
    mount, poll = Mount(bench.path), worker._source.poll

    def poll_and_lose(*limits):
        found = poll(*limits)
        if found:
            assert worker._collections.opened("main") is None
            mount.lose()
        return found

    worker._source.poll = poll_and_lose
    reasons = run_while_it_is_away(bench, worker, mount)
    assert "another than at the start" in reasons[0]
    assert bench.states("a0") == [None]
    assert bench.store.summary("main").images == 19


def test_a_run_that_ends_while_the_data_directory_is_away(bench_with_images, monkeypatch):
    """Its generation is not kept elsewhere: the run has failed, and is done again."""
    bench = bench_with_images
    request = Mailbox(bench.path).send("recluster", "main")
    worker, mount = bench.worker(), Mount(bench.path)
    monkeypatch.setattr("worker.takeover.sync_folder", lambda _: mount.lose())
    reasons = run_while_it_is_away(bench, worker, mount)
    assert all("the disk fails" in reason for reason in reasons)
    answer = (bench.path / "requests" / f"{request}.answer").read_text()
    assert answer.startswith("failed: [Errno 2]")
    assert not bench.states("b0")[0].provisional
    assert list(bench.path.glob("collections/main/generations/*"))


def test_a_commit_that_is_in_doubt_when_a_run_begins(bench_with_images, monkeypatch):
    """The collection is read from the disk, whatever becomes of the run."""
    bench = bench_with_images
    worker = bench.worker(batch_records="5")
    folders = opened(monkeypatch)
    rounds, begin, asked, left = worker._round, worker._queue.begin, [], iter(range(200))

    def ask_after_the_first():
        rounds() if next(left, None) is not None else pytest.fail("no end")
        if not asked:  # a batch is under way, which a run takes through its last steps
            asked.append(Mailbox(bench.path).send("recluster", "main"))

    def begin_and_fail(name):
        begin(name)
        monkeypatch.setattr("index.database.CHECKPOINT_BYTES", 0)
        monkeypatch.setattr("index.files.sync", failing(files.sync, errno.EIO, 1))
        worker._queue.begin = begin

    worker._round, worker._queue.begin = ask_after_the_first, begin_and_fail
    worker.run()
    assert folders == ["main", "main"]
    answer = (bench.path / "requests" / f"{asked[0]}.answer").read_text()
    assert answer.startswith("failed: [Errno 5]")
    assert bench.store.summary("main").images == 20


def test_what_is_under_way_in_the_store_ends_with_a_doubtful_collection(bench_with_images):
    """A collection that is opened again, also while Redis is away, is not taken for the other."""
    bench = bench_with_images
    worker = bench.worker()
    collections, publisher = worker._collections, worker._collections._publisher
    doubtful = collections.get("main")
    bench.store.crowded = lambda _: True
    publisher.relieve(doubtful)
    with pytest.raises(KeyError), doubtful.index.transaction(durable=False):
        raise KeyError
    collections.suspend_doubtful()
    assert doubtful.closed
    assert bench.store._is_held(bench.store._collections["main"])
    bench.store.down = True
    [opened] = collections.reopen()
    assert opened.images == 10
    publisher.lay_out(opened, 10)
    bench.store.down = False
    worker.run()
    assert bench.store.summary("main").images == 20
