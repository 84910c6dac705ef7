"""What people say: at once, through runs, restarts and a store that lost everything."""

import json

import pytest

from worker.requests import Mailbox


def say(bench, verb, *words):
    """Ask a worker; its answer. The worker ends after a run of its own."""
    mailbox = Mailbox(bench.path)
    id_ = mailbox.send(verb, "main", *words)
    bench.run()
    return mailbox.wait(id_, 0.1)


def alone(bench, verb, *words):
    """Without a running worker."""
    return bench.alone().say("main", verb, words)


def cluster(bench, image):
    return bench.states(image)[0].cluster


def together(bench, *images):
    return len({state.cluster for state in bench.states(*images)}) == 1


def run_again(bench, axis):
    """Another run over a few more photos."""
    bench.send(f"late{bench.clock.time()}", axis(5))
    bench.clock.advance(1.0)
    bench.run()


def listed(bench):
    return json.loads(alone(bench, "corrections"))


def kinds(bench):
    return [event.kind for _, event in bench.store.events("main", "0")]


class TestSame:
    def test_unites_for_good(self, photos, axis):
        """At once, and after a run that finds two clusters again; the larger one's id stays."""
        photos.erase("b0")
        photos.run()
        kept, gone = cluster(photos, "a0"), cluster(photos, "b1")
        assert alone(photos, "same", "b1", "a5") == "correction 1: same b1 a5"
        assert {cluster(photos, image) for image in ("a0", "b1", "b9")} == {kept}
        assert photos.store.cluster("main", gone).successor == kept
        run_again(photos, axis)
        assert {cluster(photos, image) for image in ("a0", "b1", "b9")} == {kept}
        assert cluster(photos, "c0") != kept

    def test_of_clusters(self, photos):
        """A cluster's id stands for its most typical image."""
        answer = alone(photos, "same", cluster(photos, "a0"), cluster(photos, "c0"))
        assert answer == "correction 1: same a0 c0"
        assert together(photos, "a9", "c9")

    def test_a_retired_id_stands_for_its_successor(self, photos):
        """What was united can be named by either id."""
        gone, kept = cluster(photos, "b0"), cluster(photos, "a0")
        alone(photos, "same", "a0", "b0")
        assert alone(photos, "name", gone, "sea") == f"cluster {kept} is named 'sea'"


class TestApart:
    def test_cuts_for_good(self, photos, axis):
        """Where every run finds one cluster both keep their own, with what lies nearer to each."""
        photos.cluster_all_in_one()
        run_again(photos, axis)
        assert together(photos, "a0", "b0", "c0")
        first = cluster(photos, "a0")
        assert alone(photos, "apart", "a0", "b0") == "correction 1: apart a0 b0"
        second = cluster(photos, "b0")
        for _ in range(2):
            assert {cluster(photos, f"a{n}") for n in range(10)} == {first}
            assert {cluster(photos, f"b{n}") for n in range(10)} == {second}
            run_again(photos, axis)
        assert first != second

    def test_of_equal_images(self, photos, axis):
        """Nothing can tell them apart."""
        photos.send("twin", axis(0))
        photos.run()
        assert "exactly the same embedding" in alone(photos, "apart", "a0", "twin")
        assert listed(photos) == []


class TestBelongs:
    def test_moves_for_good(self, photos, axis):
        """One image, at once and after a run; and again after its embedding was replaced."""
        home = cluster(photos, "c0")
        assert alone(photos, "belongs", "a3", home) == f"correction 1: belongs a3 {home}"
        assert [cluster(photos, "a3") == home, together(photos, "a2", "a4")] == [True, True]
        run_again(photos, axis)
        assert cluster(photos, "a3") == home
        photos.send("a3", axis(1, tilt=0.7))
        photos.run()
        assert cluster(photos, "a3") == home
        assert cluster(photos, "a2") != home

    def test_a_new_embedding_is_never_seen_elsewhere(self, photos, axis):
        """Also before the next run, and where only the provisional cluster is published."""
        home = cluster(photos, "c0")
        alone(photos, "belongs", "a3", home)
        photos.send("a3", axis(1, tilt=0.7))
        photos.send("a4", axis(1, tilt=0.8))
        photos.run(recluster_first_images="10000")
        seen = [e.data for _, e in photos.store.events("main", "0") if e.data.get("image") == "a3"]
        assert seen[-1]["cluster"] == home

    def test_of_what_is_not_there(self, photos):
        """The answer names what is missing."""
        assert alone(photos, "belongs", "x", "y") == "failed: there is no image 'x'"
        assert alone(photos, "belongs", "a0", "y") == "failed: there is no cluster 'y'"
        assert alone(photos, "same", "a0", "y") == "failed: there is no image and no cluster 'y'"
        assert alone(photos, "same", "a0", "a0") == "failed: same: both are the image 'a0'"
        assert alone(photos, "uncorrect", "7").startswith("failed: there is no correction '7'")


class TestNames:
    def test_are_published_and_outlive_runs(self, photos, axis):
        """A named cluster keeps id and name when it falls into a larger one; a wiped store too."""
        for number in range(5):
            photos.erase(f"a{number}")
        photos.run()
        small = cluster(photos, "a9")
        assert alone(photos, "name", small, "harbour") == f"cluster {small} is named 'harbour'"
        photos.cluster_all_in_one()
        run_again(photos, axis)
        assert {cluster(photos, image) for image in ("a9", "b0", "c0")} == {small}
        photos.store.wipe()
        photos.run()
        assert photos.store.cluster("main", small).name == "harbour"

    def test_are_taken_away(self, photos):
        """An empty name is none; each change is an event."""
        id_ = cluster(photos, "a0")
        for name in ("harbour", "harbour", ""):
            alone(photos, "name", id_, name)
        assert photos.store.cluster("main", id_).name is None
        named = [e.data["name"] for _, e in photos.store.events("main", "0") if e.kind == "named"]
        assert named == ["harbour", ""]

    @pytest.mark.parametrize("name", ["x" * 201, "a\nb"])
    def test_that_cannot_be(self, photos, name):
        """Too long, or not for printing."""
        answer = alone(photos, "name", cluster(photos, "a0"), name)
        assert answer.startswith("failed: name ")
        assert answer.endswith("must be printable, at most 200 characters")


class TestRecords:
    def test_newest_wins(self, photos):
        """The answer says what is set aside, and the list what holds."""
        alone(photos, "same", "a0", "b0")
        alone(photos, "same", "b0", "c0")
        answer = alone(photos, "apart", "a1", "c1")
        assert answer == "correction 3: apart a1 c1"
        answer = alone(photos, "apart", "a0", "c0")
        assert answer == "correction 4: apart a0 c0; sets aside 1"
        assert [(r["number"], r["holds"]) for r in listed(photos)] == [
            (1, False),
            (2, True),
            (3, True),
            (4, True),
        ]
        assert not together(photos, "a0", "c0")
        assert together(photos, "b0", "c0")

    def test_taken_back(self, photos, axis):
        """The next run decides anew; what was set aside holds again at once."""
        alone(photos, "same", "a0", "b0")
        assert alone(photos, "uncorrect", "1") == "took back correction 1: same a0 b0"
        run_again(photos, axis)
        assert not together(photos, "a0", "b0")
        alone(photos, "same", "a0", "b0")
        alone(photos, "same", "b0", "c0")
        alone(photos, "apart", "a0", "c0")
        alone(photos, "uncorrect", "4")
        assert together(photos, "a0", "b0", "c0")
        assert [r["number"] for r in listed(photos)] == [2, 3]

    def test_said_twice(self, photos):
        """It is one record and one event; the other way round takes the place of it."""
        for _ in range(2):
            alone(photos, "apart", "a0", "b0")
        assert kinds(photos).count("corrected") == 1
        alone(photos, "same", "b0", "a0")
        assert [(r["number"], r["correction"]) for r in listed(photos)] == [(2, "same")]

    def test_go_with_the_image(self, photos):
        """An erased image takes its corrections along."""
        alone(photos, "same", "a0", "b0")
        alone(photos, "belongs", "a1", cluster(photos, "c0"))
        photos.erase("b0")
        photos.run()
        assert [r["image"] for r in listed(photos)] == ["a1"]


class TestRequests:
    def test_of_a_running_worker(self, photos):
        """Asked through the data directory; counted."""
        assert say(photos, "same", "a0", "b0") == "correction 1: same a0 b0"
        assert together(photos, "a0", "b0")
        assert photos.metrics.corrections.labels("same")._value.get() == 1
        assert say(photos, "same", "a0") == "failed: same takes 2 words, not 1"

    def test_during_a_run(self, photos, axis):
        """Said after a run began, it holds when the run is published, ids and names too."""
        photos.cluster_all_in_one()
        photos.runner.holding = True
        photos.send("late", axis(6))
        worker = photos.worker(once=False)
        rounds, asked, ids = [], [], {}
        publish = worker._publishing.publish

        def on_each_round():
            publish()
            rounds.append(worker._queue.running)
            if rounds.count("main") == 1:
                asked.append(Mailbox(photos.path).send("apart", "main", "a0", "a1"))
            if rounds.count("main") == 3:
                ids.update({image: cluster(photos, image) for image in ("a0", "a1", "b0")})
                asked.append(Mailbox(photos.path).send("name", "main", ids["b0"], "pier"))
            if rounds.count("main") == 5:
                photos.runner.holding = False
            if len(rounds) > 60 or (
                rounds[-1] is None and photos.store.summary("main").generation == 2
            ):
                worker.stop()

        worker._publishing.publish = on_each_round
        worker._queue.request(worker._collections.get("main"))
        worker.run()
        assert photos.store.summary("main").generation == 2
        assert ids["a0"] != ids["a1"]
        assert cluster(photos, "b0") == ids["b0"]
        assert photos.store.cluster("main", ids["b0"]).name == "pier"
        assert cluster(photos, "a0") != cluster(photos, "a1")
        photos.run()
        assert cluster(photos, "a0") != cluster(photos, "a1")

    def test_while_a_run_is_taken_over(self, photos, monkeypatch):
        """It waits until that has ended, and holds then."""
        monkeypatch.setattr("worker.service._ADOPTED_ROWS", 3)
        monkeypatch.setattr("worker.service._ADOPTED_ROWS_BESIDE", 3)
        photos.cluster_all_in_one()
        photos.send("late", [1, 1, 1, 1, 1, 1, 1, 1])
        worker = photos.worker()
        collection = worker._collections.get("main")
        publish = worker._publishing.publish
        adopting = []

        def on_each_round():
            publish()
            adopting.append(collection.adoption is not None)
            if adopting.count(True) == 2 and adopting[-1]:
                Mailbox(photos.path).send("apart", "main", "a0", "b0")
            if adopting[-1]:
                assert len(collection.corrections) == 0

        worker._publishing.publish = on_each_round
        worker.run()
        photos.run()
        assert adopting.count(True) > 5
        assert not together(photos, "a0", "b0")

    def test_a_held_run_heeds_what_was_said_since(self, photos):
        """Published later, it does not undo a correction that is newer."""
        photos.cluster_all_in_one()
        photos.send("late", [1, 1, 1, 1, 1, 1, 1, 1])
        photos.run(gate_min_images="10")
        alone(photos, "apart", "a0", "a1")
        first, second = cluster(photos, "a0"), cluster(photos, "a1")
        alone(photos, "name", second, "quay")
        worker = photos.worker()
        Mailbox(photos.path).send("publish", "main")
        worker.run()
        assert together(photos, "a0", "b0") or together(photos, "a1", "b0")
        assert cluster(photos, "a1") == second != cluster(photos, "a0")
        assert first != second
