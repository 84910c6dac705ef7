"""Runs that people ask for, hold back, publish and forget."""


def test_held_run(stage, tools):
    """A run that moves too much waits, is forgotten or published by a person, and says so."""
    stage.create_topic()
    stream = tools.groups(6, 10)
    stage.send(stream)
    settings = {"gate_min_images": 10} | tools.NO_RUNS
    worker = stage.start(**settings).ready()
    stage.published(stream)
    assert ask(stage, "recluster") == (0, "published")
    stage.assert_grouped(stream)
    before = stage.states(stream.images["main"])
    done, _ = stage.shoal("recluster", "--dry-run")
    assert (done.returncode, "a worker runs" in done.stderr) == (2, True)
    assert worker.stop() == 0

    worker = stage.start(**settings, PLAIN_CLUSTERS="one").ready()
    status, answer = ask(stage, "recluster")
    assert (status, answer.partition(":")[0]) == (0, "held")
    assert "largest cluster would hold 60 of 60 images" in answer
    assert stage.states(before) == before
    tools.eventually(lambda: stage.client.status("main")["held_run"])
    assert ask(stage, "discard") == (0, "discarded")
    assert ask(stage, "discard") == (1, "failed: no run is held")
    tools.eventually(lambda: not stage.client.status("main")["held_run"])
    assert ask(stage, "recluster")[1].startswith("held: ")
    assert ask(stage, "publish") == (0, "published")
    assert len({state.cluster for state in stage.states(before).values()}) == 1
    counts = {r: worker.metric("shoal_reclusterings_total", result=r) for r in RESULTS}
    assert counts == {"published": 1, "held": 2, "discarded": 1, "failed": 0}
    assert worker.stop() == 0
    stage.assert_consistent(stream)


RESULTS = ("published", "held", "discarded", "failed")


def ask(stage, verb):
    """Ask the running worker; exit status and answer."""
    done, [answer] = stage.shoal(verb, "--json")
    assert answer["collection"] == "main"
    return done.returncode, answer["answer"]


def test_recluster_without_a_worker(stage, tools):
    """Where no worker runs the command reclusters by itself, and a dry run changes nothing."""
    stage.create_topic()
    stream = tools.groups(4, 10)
    stage.send(stream)
    worker = stage.start(**tools.NO_RUNS).ready()
    stage.published(stream)
    assert worker.stop() == 0
    before = stage.states(stream.images["main"])
    _, [shown] = stage.shoal("recluster", "--dry-run", "--json")
    assert (shown["images"], shown["clusters"], shown["held"]) == (40, 4, False)
    assert stage.states(before) == before
    assert ask(stage, "recluster") == (0, "published")
    stage.assert_grouped(stream)
    stage.assert_consistent(stream)
    done, _ = stage.shoal("publish")
    assert (done.returncode, "no worker runs on it" in done.stderr) == (2, True)
    done, _ = stage.shoal("recluster", "--collection", "nobody")
    assert (done.returncode, "'nobody'" in done.stderr) == (2, True)
