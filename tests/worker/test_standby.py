"""A standby's take-over in memory: what is kept, what is told, and what is made up for."""

from typing import ClassVar

import pytest
from slowly import Slowly

from worker import compacting
from worker.alone import Alone
from worker.errors import SettingsError
from worker.requests import Mailbox
from worker.service import Worker
from worker.settings import load
from worker.store.base import EventKind


class Running:
    """A worker that is driven round by round."""

    alive: ClassVar = []

    def __init__(self, bench, **settings):
        self.bench = bench
        self.parts = bench.parts(once=False, recluster_first_seconds=1e9, **settings)
        self.alive.append(self)
        self.worker = Worker(self.parts)
        self.parts.standby.begin(lambda: True)
        self.worker._recover()
        self.worker._open_source()
        self.rounds()

    def rounds(self, count=4):
        """Go round so often."""
        for _ in range(count):
            self.worker._round()

    def die(self):
        """End as a kill does: no lease is given up."""
        if self in Running.alive:
            Running.alive.remove(self)
            for collection in self.parts.collections:
                collection.lease = None
            self.parts.collections._reserved.clear()
            self.parts.abandon()

    def take_over(self):
        """Let the leases lapse, and have been free for long enough."""
        for _ in range(4):
            self.bench.clock.advance(15.0)
            self.rounds()
        assert not self.parts.role.standing_by
        return self


@pytest.fixture
def pair(bench, tmp_path):
    """A worker that serves, or may stand by itself, and one that stands by; both over one topic."""
    other = type(bench)(tmp_path / "other")
    for name in ("topic", "store", "clock", "dead_letters"):
        setattr(other, name, getattr(bench, name))
    yield bench, other
    for running in list(Running.alive):
        running.die()


def serve(bench, **settings):
    return Running(bench, **settings)


def follow(bench, **settings):
    running = Running(bench, standby=True, **settings)
    assert running.parts.role.standing_by
    return running


def states_of(bench, names):
    """What readers see of the one image of each collection."""
    return [bench.states(f"{name}-a", collection=name) for name in names]


def left_alone(pair, axis, names):
    """What readers see of collections of one image each, and who stands by; who served is dead."""
    first, second = pair
    for name in names:
        first.send(f"{name}-a", axis(0), collection=name)
    serving = serve(first)
    before = states_of(first, names)
    standing = follow(second)
    serving.die()
    return before, standing


def events(bench, after=0):
    return [event for _, event in bench.store.events("main", "0")][after:]


def test_nobody_is_told_anything(pair, axis):
    """A standby neither publishes, nor holds a lease, nor commits, nor sends a letter; that it is
    there is seen for as long as it is.
    """
    first, second = pair
    serving = serve(first)
    first.send("a", axis(0))
    first.topic.append(b"bad", b"no json")
    standing = follow(second)
    assert first.states("a") == [None]
    assert (first.dead_letters.letters, first.topic.committed) == ([], {})
    assert standing.parts.positions.next == {"images/0": 2}
    holder = serving.parts.leases._publisher.holder
    assert first.store.holders("main")[0] == holder
    first.clock.advance(3.0)
    standing.rounds(1)
    standby = first.store.status("main")["standby"]
    assert (standby["holder"] == holder, standby["lag"]) == (False, 0)
    first.clock.advance(60.0)
    assert first.store.status("main") is None


def test_clusters_and_duplicates(pair, axis):
    """All that readers saw they see again, for images that share a vector too; one that they did
    not see yet comes, beside its like.
    """
    first, second = pair
    for name, number in (("a", 0), ("b", 0), ("c", 1), ("a2", 0)):
        first.send(name, axis(number))
    serving = serve(first)
    before = first.states("a", "b", "c", "a2")
    standing = follow(second)
    serving.die()
    first.send("new", axis(0, tilt=0.1))
    first.send("a3", axis(0))
    seen = len(events(first))
    standing.take_over()
    assert first.states("a", "b", "c", "a2") == before
    assert {state.cluster for state in first.states("new", "a3")} == {before[0].cluster}
    assert [e.kind for e in events(first, seen)] == [EventKind.ASSIGNED] * 2


def test_what_was_erased_meanwhile(pair, axis):
    """An image that the standby saw erased goes, also where the other one had not told so yet."""
    first, second = pair
    first.send("a", axis(0))
    first.send("b", axis(1))
    serving = serve(first)
    standing = follow(second)
    serving.die()
    first.erase("a")
    standing.take_over()
    assert first.states("a")[0] is None
    assert first.states("b")[0] is not None
    assert first.store.summary("main").images == 1


def test_dead_rows(pair, axis, monkeypatch):
    """They stay as they are, and go when it serves."""
    monkeypatch.setattr(compacting, "_DEAD_ROWS", 4)
    first, second = pair
    for number in range(8):
        first.send(f"a{number}", axis(0, tilt=number / 50))
    serving = serve(first)
    standing = follow(second)
    for number in range(4):
        first.erase(f"a{number}")
    standing.rounds(10)
    assert standing.parts.collections.find("main").index.rows == 8
    serving.die()
    standing.take_over().rounds(10)
    assert standing.parts.collections.find("main").index.rows == 4
    assert None not in first.states("a4", "a5", "a6", "a7")


def test_a_compaction_that_takes_longer_than_a_lease(pair, axis, monkeypatch):
    """Nobody takes over meanwhile, and what people said holds."""
    monkeypatch.setattr(compacting, "_DEAD_ROWS", 4)
    first, second = pair
    for number in range(8):
        first.send(f"a{number}", axis(number % 2, tilt=number / 50))
    serving = serve(first)
    standing = follow(second)
    main = serving.parts.collections.find("main")
    assert "failed" not in serving.parts.answering.say(main, "same", ("a4", "a5"))
    for number in range(4):
        first.erase(f"a{number}")
    step = "worker.compaction.differing_images"
    slowly = Slowly(monkeypatch, first, serving.worker, step, lambda: standing.rounds(1))
    serving.rounds(10)
    slowly.assert_seen()
    assert standing.parts.role.standing_by
    main = serving.parts.collections.find("main")
    assert main.index.rows == 4
    assert len(main.corrections) == 1
    assert len({state.cluster for state in first.states("a4", "a5")}) == 1


def test_letters_that_were_not_sent(pair, axis):
    """Records that were refused while nobody served get their letter, and only those."""
    first, second = pair
    first.topic.append(b"bad", b"sent by the first")
    serving = serve(first)
    serving.rounds()
    standing = follow(second)
    serving.die()
    first.send("a", axis(0))
    first.topic.append(b"bad", b"not sent")
    standing.rounds()
    standing.take_over()
    assert [letter.raw.value for letter in first.dead_letters.letters] == [
        b"sent by the first",
        b"not sent",
    ]


def test_there_and_back(pair, axis):
    """The one that was taken over from stands by, takes over in turn, and nothing has changed."""
    first, second = pair
    for number in range(4):
        first.send(f"a{number}", axis(number % 2, tilt=number / 50))
    serving = serve(first)
    standing = follow(second)
    serving.die()
    standing.take_over()
    first.send("late", axis(5))
    standing.rounds()
    ids = ["late", *(f"a{n}" for n in range(4))]
    before = first.states(*ids)
    back = follow(first)
    standing.die()
    back.take_over()
    assert first.states(*ids) == before
    assert first.store.summary("main").clusters == 3


def test_images_that_are_not_here(pair, axis):
    """Images that the standby never read are still shown, as they were."""
    first, second = pair
    first.send("old", axis(0))
    first.send("a", axis(1))
    serving = serve(first)
    before = first.states("old", "a")
    first.topic.truncate(1)
    standing = follow(second)
    serving.die()
    standing.take_over()
    assert first.states("old", "a") == before


def test_the_store_lost_everything(pair, axis):
    """A standby does not mistake a store that came back empty for a worker that is gone."""
    first, second = pair
    first.send("a", axis(0))
    serving = serve(first)
    standing = follow(second)
    first.store.wipe()
    standing.rounds()
    first.clock.advance(5.0)
    serving.rounds()
    for _ in range(4):
        first.clock.advance(4.0)
        standing.rounds()
        serving.rounds()
    assert standing.parts.role.standing_by
    assert first.states("a") != [None]


def test_a_store_that_is_away(pair, axis):
    """While the store is away nobody takes over, and the standby goes on reading."""
    first, second = pair
    serving = serve(first)
    standing = follow(second)
    serving.die()
    first.store.down = True
    first.send("a", axis(0))
    for _ in range(4):
        first.clock.advance(15.0)
        standing.rounds()
    assert standing.parts.role.standing_by
    assert standing.parts.collections.get("main").images == 1
    first.store.down = False
    standing.take_over()
    assert first.states("a") != [None]


def test_a_take_over_that_is_cut_short(pair, axis):
    """Where the store goes away in the middle of a take-over, the standby tries again."""
    first, names = pair[0], ("main", "user:2", "user:3")
    before, standing = left_alone(pair, axis, names)
    shown, calls = first.store.shown, []

    def fail_once(name):
        calls.append(name)
        first.store.down = len(calls) == 3
        return shown(name)

    first.store.shown = fail_once
    for _ in range(4):
        first.clock.advance(15.0)
        standing.rounds()
        first.store.down = False
    standing.take_over()
    assert states_of(first, names) == before
    assert calls == [*names, "user:3"]


def test_killed_in_the_middle_of_a_take_over(pair, axis, monkeypatch):
    """What comes back stands by still, and takes over what it had not taken, and the rest again."""
    (first, second), names = pair, ("main", "user:2")
    before, standing = left_alone(pair, axis, names)
    take = standing.parts.collections.take_over

    def killed(name, lease):
        if name == "user:2":
            raise KeyboardInterrupt
        return take(name, lease)

    monkeypatch.setattr(standing.parts.collections, "take_over", killed)
    with pytest.raises(KeyboardInterrupt):
        standing.take_over()
    standing.die()
    again = follow(second)
    again.take_over()
    assert states_of(first, names) == before


@pytest.mark.parametrize("settings", [{"source": "files", "files": "x.npz"}, {"once": True}])
def test_no_use(settings):
    """Standing by has no use where everything is read once."""
    with pytest.raises(SettingsError, match="standby: True has no use"):
        load(settings | {"standby": True})


def test_commands_are_refused(pair, axis):
    """No command changes the directory of a standby, whatever its settings say."""
    first, second = pair
    first.send("a", axis(0))
    serve(first)
    follow(second).die()
    first.clock.advance(60.0)
    for settings in ({"standby": True}, {"standby": False}):
        alone = Alone(second.parts(once=False, **settings))
        with pytest.raises(SettingsError, match="follows another worker"):
            alone.recluster("main")


def test_a_held_run_is_forgotten(pair, axis):
    """What a run had found over clusters of before is not published after standing by."""
    first, second = pair
    first.send("a", axis(0))
    serving = serve(first)
    held = serving.parts.collections.get("main").runs / "held"
    held.mkdir(parents=True)
    standing = follow(second)
    serving.die()
    standing.take_over()
    follow(first)
    assert not held.exists()


def test_many_collections(pair, axis):
    """More collections than may be open are taken over one after the other."""
    first, second = pair
    names = [f"user:{n}" for n in range(6)]
    for name in names:
        first.send(f"{name}-a", axis(0), collection=name)
    serving = serve(first)
    before = [first.states(f"{name}-a", collection=name) for name in names]
    standing = follow(second, open_collections=2)
    serving.die()
    standing.take_over()
    assert [first.states(f"{name}-a", collection=name) for name in names] == before
    assert len(list(standing.parts.collections)) == 2
    first.send("user:0-b", axis(0), collection="user:0")
    standing.rounds()
    states = first.states("user:0-a", "user:0-b", collection="user:0")
    assert states[0].cluster == states[1].cluster


def test_a_source_that_is_away_after_a_take_over(pair, axis):
    """Stopped while it waits for the source that it opens again, it ends in order; started again it
    serves.
    """
    first, second = pair
    first.send("a", axis(0))
    serving = serve(first)
    standing = follow(second)
    serving.die()
    standing.parts.source.close = lambda: setattr(first.topic, "down", True)
    sleep = first.clock.sleep

    def stop_then(seconds):
        if first.topic.down:
            standing.worker.stop()
        sleep(seconds)

    first.clock.sleep = stop_then
    standing.take_over()
    assert standing.worker.ready() == "connecting to the source"
    standing.worker._close()
    Running.alive.remove(standing)
    first.topic.down = False
    first.send("b", axis(0))
    Running(second, standby=True)
    assert first.states("a")[0].cluster == first.states("b")[0].cluster


def test_no_backups(pair, axis, tmp_path):
    """A standby takes none, and refuses who asks for one: they are of the worker that serves, and
    go to the same place. It takes one when it has taken over.
    """
    first, second = pair
    first.send("a", axis(0))
    serving = serve(first)
    standing = follow(second, backup_url=str(tmp_path / "backups"))
    mailbox = Mailbox(second.path)
    asked = mailbox.send("backup", "main")
    standing.rounds()
    assert mailbox.wait(asked, 1.0) == "failed: this worker stands by; ask the one that serves"
    assert (standing.parts.backups.asked, standing.parts.backups._child) == ([], None)
    serving.die()
    standing.take_over()
    child = standing.parts.backups._child
    if child is not None:
        child.wait()
    standing.rounds(1)
    assert standing.parts.backups.last is not None
