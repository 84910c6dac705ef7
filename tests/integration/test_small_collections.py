"""The smallest and the most uniform collections go through every command, with the real model."""

import json

import numpy as np
import pytest

SAYINGS = ("name", "belongs", "uncorrect", "apart", "same", "corrections")
K = 30  # neighbours of the graph, by default


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def cases():
    """Features [n, 32] by name."""
    rng = np.random.default_rng(5)
    few = {f"n{n}": unit(rng.standard_normal((n, 32)) + 1e-9) for n in (0, 1, 2, K, K + 1)}
    same = np.repeat(unit(rng.standard_normal((1, 32))), 40, axis=0)
    return few | {"same": same, "apart": np.eye(32, dtype=np.float32)}


CASES = cases()


@pytest.fixture(scope="module")
def played(module_stage):
    """Every command over every case: exit status, output and errors, by case and command."""
    stage, played = module_stage, {}
    stage.create_topic()
    for name, features in CASES.items():
        np.savez(stage.folder / f"{name}.npz", features=features, labels=np.arange(len(features)))

    def play(*commands):
        """Run (case, command, further arguments) in one process."""
        lines = [[*command.split(), *map(str, arguments)] for _, command, arguments in commands]
        for (case, command, _), told in zip(commands, stage.many(lines), strict=True):
            played[case, command] = told

    def options(name, *, ask=False):
        same = ["--collection", name, "--redis-url", stage.valkey.url]
        return (
            [*same, "--json", "--prefix", stage.name]
            if ask
            else [*same, "--redis-prefix", stage.name, "--data-dir", stage.folder / "data" / name]
        )

    for_worker = ["--source", "files", "--once", "--http-port", 0]
    play(
        *(
            step
            for name in CASES
            for step in (
                (name, "cluster", [f"{name}.npz", "--output", f"{name}-out.npz", "--json"]),
                (name, "evaluate", [f"{name}.npz", "--json"]),
                (name, "worker", [*options(name), *for_worker, "--files", f"{name}.npz"]),
                (name, "recluster --dry-run", [*options(name), "--json"]),
                (name, "recluster", [*options(name), "--json"]),
            )
        )
    )
    sending = ["--topic", stage.topic, "--bootstrap", stage.kafka.bootstrap]
    largest = {
        name: clusters[0].id if (clusters := stage.client.clusters(name, 1)) else "nobody"
        for name in CASES
    }
    play(
        *(
            step
            for name in CASES
            for step in (
                (name, "send", [f"{name}.npz", *sending]),
                (name, "get", [*ids(name), "nobody", *options(name, ask=True)]),
                (name, "clusters", options(name, ask=True)),
                (name, "members", [largest[name], *options(name, ask=True)]),
                (name, "status", options(name, ask=True)),
            )
        )
    )
    play(
        *(
            (name, command, [*arguments, *options(name), "--json"])
            for name in CASES
            for first, last in [((ids(name) or ["nobody"])[0], (ids(name) or ["nobody"])[-1])]
            for command, arguments in (
                ("name", [largest[name], "Anna"]),
                ("belongs", [last, largest[name]]),
                ("uncorrect", ["1"]),
                ("apart", [first, last]),
                ("same", [first, last]),
                ("corrections", []),
            )
        ),
        *(
            (name, command, ["--collection", name, "--data-dir", stage.folder / "data" / name])
            for name in CASES
            for command in ("publish", "discard")
        ),
    )
    return played


def ids(name):
    """The ids that the rows of the case's file get."""
    digits = len(str(max(len(CASES[name]) - 1, 0)))
    return [f"{name}/{row:0{digits}}" for row in range(len(CASES[name]))]


def objects(told):
    """What was printed as JSON, one object a line."""
    return [json.loads(line) for line in told[1].splitlines()]


@pytest.mark.parametrize("name", CASES)
def test_commands_end_well(played, name):
    """Every command ends with status 0; of nothing there is no cluster and no run."""
    told = {command: result for (case, command), result in played.items() if case == name}
    failed = {command: result for command, result in told.items() if result[0] != 0}
    for command in ("publish", "discard"):
        status, _, errors = failed.pop(command)
        assert (status, "no worker runs on it" in errors) == (2, True)
    if name == "n0":
        status, _, errors = failed.pop("members")
        assert (status, "no cluster 'nobody'" in errors) == (1, True)
        for command in ("recluster", "recluster --dry-run", *SAYINGS):
            status, _, errors = failed.pop(command)
            assert (status, "'n0': not in" in errors) == (2, True)
    if name == "n1":
        for command in ("apart", "same"):
            status, output, _ = failed.pop(command)
            assert (status, "both are the image 'n1/0'" in output) == (1, True)
    if name == "same":
        status, output, _ = failed.pop("apart")
        assert (status, "exactly the same embedding" in output) == (1, True)
    assert failed == {}


@pytest.mark.parametrize("name", CASES)
def test_file_is_clustered(played, module_stage, name):
    """`cluster` gives each image a label, and equal images the same."""
    n = len(CASES[name])
    [figures] = objects(played[name, "cluster"])
    with np.load(module_stage.folder / f"{name}-out.npz") as out:
        labels, confidence = out["labels"], out["confidence"]
    assert (labels.dtype, labels.shape, confidence.dtype) == (np.int64, (n,), np.float32)
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert figures["n"] == n
    assert figures["clusters"] == len(np.unique(labels)) == labels.max(initial=-1) + 1
    expected = {"n0": 0, "n1": 1, "same": 1}
    assert figures["clusters"] == expected.get(name, figures["clusters"])
    [scores] = objects(played[name, "evaluate"])
    assert (scores["n"], scores["clusters"]) == (n, figures["clusters"])


@pytest.mark.parametrize("name", CASES)
def test_worker_publishes(played, name):
    """After `worker --once` and `recluster` every image has its cluster, and all agree."""
    n = len(CASES[name])
    *found, nobody = objects(played[name, "get"])
    assert nobody["cluster"] is None
    assert [one["id"] for one in found] == ids(name)
    assert not any(one["provisional"] for one in found)
    assert all(0 <= one["confidence"] <= 1 for one in found)
    sizes = {one["id"]: one["size"] for one in objects(played[name, "clusters"])}
    names, counts = np.unique([one["cluster"] for one in found], return_counts=True)
    assert sizes == dict(zip(names.tolist(), counts.tolist(), strict=True))
    [status] = objects(played[name, "status"])
    assert (status["images"], status["clusters"]) == (n, len(sizes))
    if n:
        assert len(played[name, "members"][1].split()) > 0
        assert (status["provisional"], status["lag"], status["unpublished"]) == (0, 0, 0)
        [answer] = objects(played[name, "recluster"])
        assert answer == {"collection": name, "done": True, "answer": "published"}
        [shown] = objects(played[name, "recluster --dry-run"])
        assert (shown["images"], shown["clusters"]) == (n, len(sizes))
    expected = {"n0": 0, "n1": 1, "same": 1}
    assert len(sizes) == expected.get(name, len(sizes))
    assert f"sent {n} records" in played[name, "send"][1]


def test_one_image_per_cluster(stage, tools):
    """Images that nothing joins are each a cluster of their own, before and after a run."""
    stage.create_topic()
    stream = tools.groups(16, 1)
    stage.send(stream)
    worker = stage.start(**tools.NO_RUNS).ready()
    stage.published(stream)
    assert stage.client.summary("main").clusters == 16
    assert worker.stop() == 0
    assert stage.run(**tools.NO_RUNS).exit_code == 0
    stage.assert_grouped(stream)
    stage.assert_consistent(stream)
