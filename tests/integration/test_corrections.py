"""Names and corrections with real servers and processes: at once, and whatever happens after."""

import re

import pytest

from worker.embedded.valkey import EmbeddedValkey

# What is said of six groups of ten: of an image each of i0 and i1, of i2 and i3, and of i4.
UNITED, PARTED, MOVED = ("i0-0", "i1-0"), ("i2-0", "i2-9"), "i4-0"


@pytest.fixture
def stream(stage, tools):
    """Six groups of ten in Redis, confirmed by a run; no worker runs."""
    stage.create_topic()
    stream = tools.groups(6, 10)
    stage.send(stream)
    assert stage.run(**tools.NO_RUNS).exit_code == 0
    stage.assert_grouped(stream)
    return stream


def say(stage, *words):
    """Say something; exit status and answer."""
    done, answers = stage.shoal(*words, "--json")
    assert len(answers) == 1, done.stderr
    [answer] = answers
    return done.returncode, answer["answer"]


def cluster(stage, image):
    return stage.states([image])[image].cluster


def assert_heeded(stage, home, named):
    """Everything that was said is so."""
    assert cluster(stage, UNITED[0]) == cluster(stage, UNITED[1])
    assert cluster(stage, "i0-5") == cluster(stage, "i1-5") == cluster(stage, UNITED[0])
    assert cluster(stage, PARTED[0]) != cluster(stage, PARTED[1])
    assert cluster(stage, MOVED) == home == cluster(stage, "i5-0")
    assert cluster(stage, "i4-1") != home
    assert stage.client.cluster("main", named).name == "harbour"


def test_at_once_and_for_good(own_valkey: EmbeddedValkey, make_stage, tools):
    """Said to a running worker it is seen at once; reclustered, restarted, with Redis emptied, it
    is still so, with the same ids.
    """
    stage = make_stage(valkey=own_valkey)
    stage.create_topic()
    stream = tools.groups(6, 10)
    stage.send(stream)
    worker = stage.start(**tools.NO_RUNS).ready()
    stage.published(stream)
    home, named = cluster(stage, "i5-0"), cluster(stage, "i3-0")
    assert say(stage, "same", *UNITED) == (0, "correction 1: same i0-0 i1-0")
    assert say(stage, "apart", *PARTED) == (0, "correction 2: apart i2-0 i2-9")
    assert say(stage, "belongs", MOVED, home) == (0, f"correction 3: belongs i4-0 {home}")
    assert say(stage, "name", named, "harbour") == (0, f"cluster {named} is named 'harbour'")
    tools.eventually(lambda: stage.client.cluster("main", named).name == "harbour")
    assert_heeded(stage, home, named)
    before = {image: state.cluster for image, state in stage.states(stream.images["main"]).items()}
    kinds = [event.kind for _, event in stage.client.events("main", "0", 0.1)]
    assert (kinds.count("corrected"), kinds.count("named")) == (3, 1)
    assert say(stage, "same", "i0-0", "nobody") == (
        1,
        "failed: there is no image and no cluster 'nobody'",
    )

    assert say(stage, "recluster") == (0, "published")
    assert now(stage, stream) == before
    own_valkey.restart()
    tools.eventually(lambda: stage.client.summary("main") is not None, 20)
    stage.published(stream)
    assert now(stage, stream) == before
    assert_heeded(stage, home, named)
    assert worker.stop() == 0
    assert re.search(r"said +collection=main image=i0-0 other=i1-0 saying=same", worker.text())
    assert "harbour" not in worker.text()  # names are what people call each other

    assert stage.run().exit_code == 0
    assert now(stage, stream) == before
    assert_heeded(stage, home, named)
    stage.assert_consistent(stream)
    _, listed = stage.shoal("corrections", "--json")
    assert [(r["number"], r["correction"], r["holds"]) for r in listed] == [
        (1, "same", True),
        (2, "apart", True),
        (3, "belongs", True),
    ]


def now(stage, stream):
    return {image: state.cluster for image, state in stage.states(stream.images["main"]).items()}


def test_without_a_worker(stage, stream):
    """Where no worker runs, the commands do it by themselves."""
    assert say(stage, "same", *UNITED) == (0, "correction 1: same i0-0 i1-0")
    assert cluster(stage, UNITED[0]) == cluster(stage, UNITED[1])
    named = cluster(stage, "i3-0")
    assert say(stage, "name", named, "harbour")[0] == 0
    _, [state] = stage.shoal("members", named, "--json", redis_url=stage.valkey.url)
    assert state["name"] == "harbour"
    assert say(stage, "uncorrect", "1") == (0, "took back correction 1: same i0-0 i1-0")
    assert say(stage, "uncorrect", "1")[0] == 1
    assert stage.shoal("corrections", "--json")[1] == []
    stage.assert_consistent(stream)


# Two of four are said at each, so that the second arrival is in the middle.
@pytest.mark.parametrize("fault", ["R5", "R5b", "R5:2", "R5b:2", "6:2", "R6", "R7", "R8"])
def test_killed(stage, stream, tools, fault):
    """Killed while a correction is recorded, applied, published or heeded by a run, the worker
    answers after its next start, and all of it is so.
    """
    home, named = cluster(stage, "i5-0"), cluster(stage, "i3-0")
    mailbox = tools.Mailbox(stage.data_dir)
    said = [
        ("same", *UNITED),
        ("apart", *PARTED),
        ("belongs", MOVED, home),
        ("name", named, "harbour"),
    ]
    asked = [mailbox.send(verb, "main", *words) for verb, *words in said]
    late = tools.groups(6, 1, seed=1, prefix="late")
    stage.send(late)
    assert stage.run(fault=fault, **tools.NO_RUNS).exit_code == -9
    assert stage.run(**tools.NO_RUNS).exit_code == 0
    answers = [mailbox.wait(id_, 1.0) for id_ in asked]
    assert [answer.partition(":")[0] for answer in answers[:3]] == [
        "correction 1",
        "correction 2",
        "correction 3",
    ]
    assert_heeded(stage, home, named)
    stage.assert_consistent(stream.with_(late))
