from dataclasses import replace

import numpy as np
import pytest
import structlog

from index import CollectionIndex
from models.choice import LINKED, Choice
from models.coordinate.model import METHOD as COORDINATE
from models.facts import ANSWERED
from models.few import METHOD as FEW
from worker import reclustering
from worker.edges import CosineEdges
from worker.errors import (
    BadStreamError,
    DataDirectoryError,
    DataLossError,
    LeaseError,
    StoreUnavailableError,
)
from worker.metrics import METHODS
from worker.positions import Positions
from worker.requests import Mailbox
from worker.testing import InlineRunner, MemoryTopic


def test_images_get_clusters(bench, axis):
    """Images that point the same way are in one cluster, others in another, after one run."""
    for number in range(20):
        bench.send(f"a{number}", axis(0, tilt=number / 50))
        bench.send(f"b{number}", axis(1, tilt=number / 50))
    bench.run()
    states = bench.states("a0", "a7", "b0", "b19", "unknown")
    assert states[0].cluster == states[1].cluster != states[2].cluster == states[3].cluster
    assert not any(state.provisional for state in states[:4])
    assert states[4] is None
    assert bench.store.summary("main").images == 40
    assert bench.store.summary("main").clusters == 2


def test_a_run_says_how_and_where_it_made_its_clusters(bench, axis, monkeypatch):
    """In a metric and in the log, with the reason where it is not the usual way."""
    clusters = bench.runner._cluster

    def lost(view, report):
        return replace(clusters(view, report), method=LINKED, reason="not sure", device="cuda")

    bench.runner = InlineRunner(lost)
    for number in range(20):
        bench.send(f"a{number}", axis(0, tilt=number / 50))
    monkeypatch.setattr(reclustering, "log", structlog.get_logger())
    with structlog.testing.capture_logs() as logged:
        bench.run()
    runs = bench.metrics.registry.get_sample_value(
        "shoal_recluster_methods_total", {"method": LINKED, "device": "cuda"}
    )
    assert runs >= 1
    said = next(entry for entry in logged if entry["event"] == "run ended")
    assert said["reason"] == "not sure"


def test_the_ways_that_are_counted_are_those_of_the_models():
    """Each has its series from the start."""
    assert set(METHODS) == {LINKED, Choice(0.5, 1.0).method, COORDINATE, FEW, ANSWERED}


def test_ids_survive(bench, axis):
    """A cluster keeps its id when the worker starts again and reclusters with more images."""
    for number in range(10):
        bench.send(f"a{number}", axis(0, tilt=number / 50))
    bench.run()
    before = bench.states("a0")[0].cluster
    for number in range(10):
        bench.send(f"b{number}", axis(1, tilt=number / 50))
        bench.send(f"c{number}", axis(0, tilt=0.5 + number / 50))
    bench.run()
    assert {s.cluster for s in bench.states("a0", "a9", "c3")} == {before}
    assert bench.states("b0")[0].cluster != before


def test_replay_changes_nothing(bench, axis):
    """Records that come again after a restart from an older position are skipped."""
    for number in range(5):
        bench.send(f"a{number}", axis(number))
    bench.run()
    before = bench.states("a0", "a1", "a2", "a3", "a4")
    for path in bench.path.glob("positions.sqlite*"):
        path.unlink()
    bench.run()
    assert bench.states("a0", "a1", "a2", "a3", "a4") == before
    assert bench.metrics.skipped._value.get() == 5


def test_erased_image_is_forgotten(bench, axis):
    """A null value removes the image from the store and its cluster."""
    bench.send("a", axis(0))
    bench.send("b", axis(0, tilt=0.1))
    bench.run()
    bench.erase("a")
    bench.erase("never-was")
    bench.run()
    assert bench.states("a") == [None]
    cluster = bench.states("b")[0].cluster
    assert bench.store.members("main", cluster) == ["b"]


def test_changed_embedding_moves_the_image(bench, axis):
    """The same id with another vector leaves its old cluster."""
    for number in range(6):
        bench.send(f"a{number}", axis(0, tilt=number / 50))
        bench.send(f"b{number}", axis(1, tilt=number / 50))
    bench.run()
    bench.send("a0", axis(1, tilt=0.3))
    bench.run()
    assert bench.states("a0")[0].cluster == bench.states("b1")[0].cluster
    assert "a0" not in bench.store.members("main", bench.states("a1")[0].cluster)


def test_duplicates_share_a_cluster(bench, axis):
    """Images with exactly the same vector are one row and one cluster, and each is published."""
    for number in range(100):
        bench.send(f"a{number}", axis(0))
    bench.run()
    assert len({s.cluster for s in bench.states(*(f"a{n}" for n in range(100)))}) == 1
    assert bench.store.summary("main").images == 100


def test_collections_stay_apart(bench, axis):
    """Fifty collections of forty images each have their own clusters."""
    for number in range(40):
        for user in range(50):
            bench.send(f"i{number}", axis(number % 2, tilt=number / 100), collection=f"user-{user}")
    bench.run(open_collections="7")
    assert bench.store.collections() == sorted(f"user-{user}" for user in range(50))
    seen = set()
    for user in range(50):
        states = bench.states(*(f"i{n}" for n in range(40)), collection=f"user-{user}")
        clusters = {state.cluster for state in states}
        assert len(clusters) == 2
        assert not clusters & seen
        seen |= clusters


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1.0, 2.0], "wrong_dimension"),
        ([float("nan")] * 8, "not_finite"),
        ([float("inf")] * 8, "not_finite"),
        ([0.0] * 8, "zero_vector"),
    ],
)
def test_bad_vectors_are_dead_letters(bench, axis, value, reason):
    """A vector that cannot be used goes to the dead letters with its reason; the rest goes on."""
    bench.send("good", axis(0))
    bench.send("bad", value)
    bench.send("better", axis(1))
    bench.run()
    assert [letter.reason for letter in bench.dead_letters.letters] == [reason]
    assert bench.states("good", "bad", "better")[1] is None
    assert bench.store.summary("main").images == 2
    assert bench.metrics.dead_letters.labels(reason)._value.get() == 1


def test_other_model_is_refused(bench, axis):
    """A collection holds one embedding model; another one's images are dead letters."""
    bench.send("a", axis(0), model="one")
    bench.send("b", axis(0), model="two")
    bench.send("c", axis(0), model="one")
    bench.run()
    assert [letter.reason for letter in bench.dead_letters.letters] == ["other_model"]
    assert bench.store.summary("main").images == 2


def test_bad_stream_stops(bench, axis):
    """A stream of bad records stops the worker before it drains into the dead letters."""
    bench.send("good", axis(0))
    for number in range(300):
        bench.topic.append(f"bad{number}".encode(), b"not json")
    with pytest.raises(BadStreamError, match="not_json"):
        bench.run()
    assert bench.dead_letters.letters == []


def test_dead_letters_that_cannot_be_kept_hold_the_position(bench, axis):
    """While dead letters cannot be kept, the position does not move past them."""
    bench.topic.append(b"bad", b"not json")
    bench.send("good", axis(0))
    bench.dead_letters.down = True
    sleep = bench.clock.sleep

    def recover(seconds):
        assert bench.topic.committed == {}
        bench.dead_letters.down = False
        sleep(seconds)

    bench.clock.sleep = recover
    bench.run()
    assert len(bench.dead_letters.letters) == 1
    assert bench.topic.committed == {"images/0": 2}


def test_store_away(bench, axis):
    """While the store is away images are taken; when it is back all of them are published."""
    for number in range(10):
        bench.send(f"a{number}", axis(number % 3, tilt=number / 50))
    bench.store.down = True
    worker = bench.worker(once=False)
    publish = worker._publishing.publish
    rounds = []

    def count():
        publish()
        bench.clock.advance(2.0)
        rounds.append(worker._publishing.unpublished())
        if len(rounds) == 3:
            bench.store.down = False
        if len(rounds) == 8:
            worker.stop()

    worker._publishing.publish = count
    worker.run()
    assert rounds[1] == 10
    assert rounds[-1] == 0
    assert all(bench.states(*(f"a{n}" for n in range(10))))


def test_store_lost_everything(bench, axis):
    """A store that comes back empty is filled again by the next start."""
    for number in range(10):
        bench.send(f"a{number}", axis(number % 3, tilt=number / 50))
    bench.run()
    before = bench.states(*(f"a{n}" for n in range(10)))
    bench.store.wipe()
    assert bench.states("a0") == [None]
    bench.run()
    assert bench.states(*(f"a{n}" for n in range(10))) == before


def test_too_much_unpublished_pauses_reading(bench, axis):
    """With too many images unpublished, reading pauses and readiness says why."""
    for number in range(30):
        bench.send(f"a{number}", axis(number % 8, tilt=number / 50))
    bench.store.down = True
    worker = bench.worker(once=False, max_unpublished="10", batch_records="10")
    reasons = []
    publish = worker._publishing.publish

    def count():
        publish()
        bench.clock.advance(2.0)
        reasons.append(worker.ready())
        if len(reasons) == 4:
            bench.store.down = False
        if len(reasons) == 12:
            worker.stop()

    worker._publishing.publish = count
    worker.run()
    assert "10 images wait for Redis" in reasons[3]
    assert None in reasons[4:]
    assert bench.store.summary("main").images == 30


def test_second_worker_is_refused(bench, axis, tmp_path):
    """A second worker on the same collections says whose lease it met and changes nothing."""
    bench.send("a", axis(0))
    first = bench.worker()
    with pytest.raises(DataDirectoryError, match="locked by process"):
        bench.worker()
    first._recover()
    with pytest.raises(LeaseError, match="'main' is held by"):
        bench.run(data_dir=str(tmp_path / "other"))
    assert not (tmp_path / "other" / "collections").exists()
    first.run()
    assert bench.store.summary("main").images == 1


def test_truncated_topic_is_loud(bench, axis):
    """Records that vanished before they were read stop the worker unless it may go on."""
    bench.send("a", axis(0))
    bench.run()
    for number in range(5):
        bench.send(f"b{number}", axis(1))
    bench.topic.truncate(4)
    with pytest.raises(DataLossError, match="images/0"):
        bench.run()


def test_topic_made_anew_is_loud(bench, axis):
    """A topic that was deleted and made again is not taken for the old one, however long it is."""
    for number in range(3):
        bench.send(f"a{number}", axis(0))
    bench.run()
    bench.topic.make_anew()
    for number in range(5):
        bench.send(f"b{number}", axis(1))
    with pytest.raises(DataLossError, match="made anew"):
        bench.run()
    bench.run(accept_loss="true")
    assert all(bench.states("a0", "b0", "b4"))
    assert bench.store.summary("main").images == 8
    bench.run()


def test_positions_of_an_earlier_version(bench, axis):
    """Those that do not say which topic they are in take the one at first sight, though nothing
    comes from it; one that is made anew after that is not taken for it.
    """
    for number in range(3):
        bench.send(f"a{number}", axis(0))
    bench.run()
    positions = Positions(bench.path / "positions.sqlite")
    positions.advance(positions.next)
    assert positions.origin("images/0") == ""
    positions.close()
    bench.run()
    bench.topic.make_anew()
    for number in range(5):
        bench.send(f"b{number}", axis(1))
    with pytest.raises(DataLossError, match="made anew"):
        bench.run()


def test_stopping_while_dead_letters_wait(bench, axis):
    """A worker that waits for its dead letters can be stopped; the next one takes all of it."""
    bench.send("good", axis(0))
    bench.topic.append(b"bad", b"not json")
    bench.dead_letters.down = True
    worker = bench.worker()
    sleep = bench.clock.sleep
    bench.clock.sleep = lambda seconds: (worker.stop(), sleep(seconds))
    worker.run()
    bench.dead_letters.down = False
    bench.run()
    assert len(bench.dead_letters.letters) == 1
    assert bench.store.summary("main").images == 1


def test_stopping_while_dead_letters_wait_and_more_is_under_way(bench, axis):
    """What came after the batch that was given up is not committed past it."""
    bench.topic.append(b"bad", b"not json")
    bench.send("good", axis(0))
    bench.dead_letters.down = True
    worker = bench.worker(batch_records=1)
    sleep = bench.clock.sleep
    bench.clock.sleep = lambda seconds: (worker.stop(), sleep(seconds))
    worker.run()
    assert bench.topic.committed == {}
    bench.dead_letters.down = False
    bench.run()
    assert len(bench.dead_letters.letters) == 1
    assert bench.store.summary("main").images == 1


def test_every_image_is_announced(bench, axis):
    """Every image has an event when it is first seen, also where Redis is laid out anew."""
    for number in range(2_500):
        bench.send(f"a{number}", axis(number % 8, tilt=number / 5_000))
    bench.run()
    events = bench.store.events("main", "0", block_seconds=0)
    seen = {event.data["image"] for _, event in events if event.kind == "assigned"}
    assert seen == {f"a{number}" for number in range(2_500)}


def _trickle(bench, axis, images):
    """Run a worker while one image comes every second round, so that it is never idle."""
    worker = bench.worker(once=False)
    poll = worker._source.poll
    sent = []

    def poll_with_an_image(*limits):
        if not worker._ingest.under_way:
            sent.append(f"a{len(sent)}")
            bench.send(sent[-1], axis(len(sent) % 8, tilt=len(sent) / 1_000))
        if len(sent) == images:
            worker.stop()
        return poll(*limits)

    worker._source.poll = poll_with_an_image
    worker.run()
    assert not worker._idle


def test_redis_is_laid_out_anew_beside_a_stream(bench, axis):
    """A stream that the worker keeps up with does not keep it from making room in Redis."""
    for number in range(500):
        bench.send(f"b{number}", axis(number % 8, tilt=number / 1_000))
    bench.run()
    bench.store.crowded = lambda _: True
    _trickle(bench, axis, 4)
    assert bench.metrics.registry.get_sample_value("shoal_store_rebuilds_total") > 0


@pytest.fixture
def searched_again(monkeypatch):
    """How many rows the worker lets be searched again, at each time."""
    limits = []
    refresh = CollectionIndex.refresh
    monkeypatch.setattr(
        CollectionIndex, "refresh", lambda *given: limits.append(given[1]) or refresh(*given)
    )
    return limits


def test_few_neighbours_are_refreshed_beside_a_stream(bench, axis, searched_again):
    """Fewer rows are searched again while images come than while none do."""
    bench.send("first", axis(0))
    _trickle(bench, axis, 4)
    beside = searched_again.copy()
    searched_again.clear()
    _run_rounds(bench, 5)
    assert 0 < max(beside) < max(searched_again)


def test_a_short_wait_is_not_idle(bench, axis, monkeypatch):
    """While a run is taken over waits are short, and records may be on their way longer."""
    monkeypatch.setattr("worker.service._ADOPTED_ROWS", 2)
    monkeypatch.setattr("worker.service._ADOPTED_ROWS_BESIDE", 1)
    for number in range(40):
        bench.send(f"a{number}", axis(number % 4, tilt=number / 50))
    worker = bench.worker()
    poll = worker._source.poll
    collection = worker._collections.get("main", dimension=8)
    idle = []

    def poll_and_note(limit, seconds):
        if collection.adoption is not None:
            idle.append(worker._idle)
        if len(idle) in {3, 6}:
            bench.send(f"b{len(idle)}", axis(0))
        return poll(limit, seconds)

    worker._source.poll = poll_and_note
    worker.run()
    assert not any(idle[4:10])
    assert any(idle[10:])


def test_no_neighbours_are_refreshed_beside_a_run(bench, axis, searched_again):
    """While a run goes on nothing is searched again."""
    bench.send("first", axis(0))
    bench.runner.holding = True
    worker = bench.worker(once=False)
    publish = worker._publishing.publish
    rounds = []

    def on_each_round():
        publish()
        rounds.append((worker._queue.running, len(searched_again)))
        if rounds[-1][0] is None:
            worker._queue.request(worker._collections.get("main"))
        if len(rounds) == 8:
            worker.stop()

    worker._publishing.publish = on_each_round
    worker.run()
    beside = [count for running, count in rounds if running]
    assert len(beside) > 4
    assert beside[0] == beside[-1]


def test_bad_record_for_a_closed_collection(bench, axis):
    """A record that does not fit a collection that is not open is a dead letter like any other."""
    for user in range(4):
        bench.send("a", axis(user), collection=f"user-{user}", model="one")
    bench.run(open_collections="2")
    bench.send("b", [1.0, 2.0], collection="user-0")
    bench.send("b", axis(0), collection="user-1", model="two")
    bench.run(open_collections="2")
    reasons = [letter.reason for letter in bench.dead_letters.letters]
    assert reasons == ["wrong_dimension", "other_model"]


def test_model_is_the_first_that_is_named(bench, axis):
    """A collection whose first image names no model takes the first model that is named."""
    bench.send("a", axis(0))
    bench.send("b", axis(0, tilt=1), model="one")
    bench.send("c", axis(0, tilt=2), model="two")
    bench.run()
    assert [letter.reason for letter in bench.dead_letters.letters] == ["other_model"]
    assert bench.store.summary("main").model == "one"


def test_error_between_steps_publishes_nothing_wrong(bench, axis):
    """After an error in the middle of a batch the next start takes up from the log."""
    for number in range(10):
        bench.send(f"a{number}", axis(number % 2, tilt=number / 50))
    bench.run()
    before = bench.states("a0", "a1")
    for number in range(10):
        bench.send(f"b{number}", axis(2, tilt=number / 50))
    worker = bench.worker()
    probabilities = CosineEdges.probabilities

    def fail(*_):
        raise RuntimeError("a defect")

    CosineEdges.probabilities = fail
    try:
        with pytest.raises(RuntimeError, match="a defect"):
            worker.run()
    finally:
        CosineEdges.probabilities = probabilities
    assert bench.states("b0") == [None]
    bench.run()
    assert bench.states("a0", "a1") == before
    assert len({s.cluster for s in bench.states("b0", "b9", "a0")}) == 2


def test_rebuild_is_tried_again(bench, axis):
    """A store that comes back empty and then fails once is filled all the same."""
    for number in range(10):
        bench.send(f"a{number}", axis(number % 3, tilt=number / 50))
    bench.run()
    bench.store.wipe()
    rebuild, failures = bench.store.rebuild, [StoreUnavailableError("loading")]

    def fail_once(*arguments):
        if failures:
            raise failures.pop()
        rebuild(*arguments)

    bench.store.rebuild = fail_once
    _run_rounds(bench, 5)
    assert all(bench.states(*(f"a{n}" for n in range(10))))


def _run_rounds(bench, rounds):
    """Run a worker for so many rounds of its loop, ten seconds apart."""
    worker = bench.worker(once=False)
    publish = worker._publishing.publish
    left = [rounds]

    def count():
        publish()
        bench.clock.advance(10.0)
        left[0] -= 1
        if left[0] == 0:
            worker.stop()

    worker._publishing.publish = count
    worker.run()


def test_other_source_on_the_same_data(bench, axis):
    """Positions in another topic do not make this one look as if it were made anew."""
    bench.send("a", axis(0))
    bench.run()
    bench.topic = MemoryTopic("others")
    bench.send("b", axis(1))
    bench.run()
    assert all(bench.states("a", "b"))


def test_collections_that_closed_are_clustered(bench, axis):
    """Every collection gets its run, also those closed for want of room meanwhile."""
    for user in range(6):
        for number in range(4):
            bench.send(f"a{number}", axis(number % 2), collection=f"user-{user}")
    bench.run(open_collections="2", batch_records="4")
    for user in range(6):
        assert not bench.states("a0", collection=f"user-{user}")[0].provisional


def test_death_while_a_collection_is_made(bench, axis):
    """What is left of a collection that was being made does not hinder the next start."""
    (bench.path / "collections" / ".making-main").mkdir(parents=True)
    bench.send("a", axis(0))
    bench.run()
    assert bench.states("a")[0] is not None


def test_empty_topic(bench):
    """Nothing to read ends well."""
    bench.run()
    assert bench.store.collections() == []


@pytest.mark.parametrize("count", [1, 2, 30, 31])
def test_few_images(bench, count):
    """One, two, k and k+1 images each get a cluster."""
    rng = np.random.default_rng(count)
    for number in range(count):
        bench.send(f"a{number}", rng.standard_normal(8))
    bench.run()
    assert all(bench.states(*(f"a{n}" for n in range(count))))


def test_request_during_a_run_gets_a_run_of_its_own(bench, axis):
    """What arrived after a run began is clustered by the run that is asked for during it."""
    for number in range(60):
        bench.send(f"a{number}", axis(number % 4, tilt=number / 100))
    bench.runner.holding = True
    worker = bench.worker(once=False)
    rounds = []
    publish = worker._publishing.publish

    def on_each_round():
        publish()
        rounds.append(worker._queue.running)
        if rounds.count("main") == 1:
            bench.send("late", axis(0, tilt=2))
            Mailbox(bench.path).send("recluster", "main")
        if rounds.count("main") == 5:
            bench.runner.holding = False
        states = bench.states("late")
        if len(rounds) > 40 or (states[0] and not states[0].provisional):
            worker.stop()

    worker._publishing.publish = on_each_round
    worker.run()
    assert not bench.states("late")[0].provisional
    assert bench.states("late")[0].generation == 2


def test_held_run_waits_for_a_person(bench, axis):
    """A run that moves too much is held, and published when a person says so."""
    for number in range(40):
        bench.send(f"a{number}", axis(number % 4, tilt=number / 100))
    bench.run(gate_min_images="10")
    before = bench.states("a0", "a1")
    bench.cluster_all_in_one()
    bench.send("late", axis(0))
    bench.run(gate_min_images="10")
    assert [s.cluster for s in bench.states("a0", "a1")] == [s.cluster for s in before]
    worker = bench.worker()
    collection = worker._collections.get("main")
    assert worker._parts.takeover.is_held(collection)
    Mailbox(bench.path).send("publish", "main")
    worker.run()
    assert len({s.cluster for s in bench.states("a0", "a1", "a2", "late")}) == 1


def test_the_runs_statistics_are_taken_over(bench, axis, monkeypatch):
    """The model is told the file of statistics that a run left, while that file is there."""
    told = []
    monkeypatch.setattr(CosineEdges, "renew", lambda _, __, path: told.append(path.exists()))
    for number in range(10):
        bench.send(f"a{number}", axis(number % 2, tilt=number / 50))
    bench.run()
    assert told == [True]
