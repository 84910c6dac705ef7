"""benchmarks/quality.py on small sets of its own."""

import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "quality.py"


@pytest.fixture(scope="module")
def quality():
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("quality", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARK.parent)
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def measured(quality, monkeypatch, capsys, tmp_path, groups):
    """A function: the lines and the JSON for a folder that holds faces_test_public.npz alone."""
    x, labels = groups(6, 8, spread=0.6)
    np.savez(tmp_path / "faces_test_public.npz", features=x, labels=labels)
    monkeypatch.setattr(quality, "THREADS", 1)

    def run(*options):
        arguments = ["--data", tmp_path, "--cache", tmp_path / "cache", "--only", "faces", *options]
        monkeypatch.setattr("sys.argv", ["quality.py", *map(str, arguments)])
        quality.main()
        *lines, last = capsys.readouterr().out.splitlines()
        return lines, json.loads(last)

    return run


def test_a_test_needs_no_classes_to_train_on(measured):
    """Without them only the peers that are trained or tuned there are left out."""
    _, result = measured("--seeds", 0)
    methods = set(result["sets"]["faces"])
    assert {"ours", "told", "answers", "linkage*", "components*", "finch*", "hdbscan"} <= methods
    assert not methods & {"linkage", "components", "finch", "linker"}


def test_prints_the_three_scores_together(measured):
    """Pairwise F, BCubed F and NMI per set and in the means, with their spread over the seeds."""
    three = r"\d\.\d{3} \(\d\.\d{3}/\d\.\d{3}/\d\.\d{3}\)"
    lines, result = measured("--seeds", 0, 1, "--ours")
    assert [line[:20].strip() for line in lines] == ["faces", "mean of all, 1", "mean of types, 1"]
    for line in lines:
        assert len(re.findall(f"(?:ours|told|answers) {three} spread {three}", line)) == 3
    faces = result["sets"]["faces"]
    both = (faces["scores"]["ours"]["pairwise_f"][0] + faces["scores"]["ours"]["bcubed_f"][0]) / 2
    assert faces["ours"][0] == pytest.approx(both, abs=1e-4)
    assert result["types_scores"] == faces["scores"]


def test_a_set_that_is_not_there_is_named(measured, capsys):
    """With those that are."""
    with pytest.raises(SystemExit):
        measured("--ours", "--only", "absent")
    assert "'absent' is no set; there are faces, digits" in capsys.readouterr().err


def test_a_single_seed_has_no_spread(measured):
    """Nothing beside the mean pretends to be one."""
    lines, _ = measured("--seeds", 0, "--ours")
    assert not [line for line in lines if "spread" in line]


def test_counts_the_runs_that_judge_themselves_well(measured):
    """Errors of each estimate, edges included, and of how many sets they are within a limit."""
    _, result = measured("--seeds", 0, "--ours")
    off = result["ours"]["misjudged"]
    assert off.keys() == {"precision", "recall", "f", "calibration", "edges"}
    assert 0 < off["edges"] < 1
    for limit, name in ((0.1, "within_a_tenth"), (0.05, "within_a_twentieth")):
        assert result["ours"][name] == {field: int(error <= limit) for field, error in off.items()}


def test_edges_of_a_sure_model_are_off_by_their_errors(quality):
    """A model that is sure of every edge is off by the share of edges between classes."""
    labels = np.repeat([0, 1], 4)
    angle = np.r_[np.linspace(0, 0.1, 4), np.linspace(1.5, 1.6, 4)]
    unit = np.stack((np.cos(angle), np.sin(angle)), axis=1).astype(np.float32)

    class Sure:
        def edge_probabilities(self, _vectors, graph, *_):
            return np.ones(graph.neighbours.shape, np.float32)

    found = SimpleNamespace(context=None)
    assert quality.Edges(unit, labels, 3).error(Sure(), found) == 0
    assert quality.Edges(unit, labels, 7).error(Sure(), found) == pytest.approx(4 / 7)


def test_the_gain_is_over_the_reference(quality):
    """A mean of ratios over the sets on which the reference ran; none without them."""
    once, twice = ((0.0, factor * quality.REFERENCE["omniglot"], 0.0, 0.0) for factor in (1, 2))
    table = {"omniglot": {"ours": [once, twice]}, "faces": {"ours": [once]}}
    assert quality.gain(table, "ours") == 0.5
    assert quality.gain({"faces": table["faces"]}, "ours") is None


def test_means_are_of_each_seed(quality):
    """Over sets first; the spread is that of the means, and only of methods that every set has."""
    rows = [{"ours": [(0.0,), (1.0,)], "evoc": [(1.0,)]}, {"ours": [(1.0,), (0.0,)]}]
    assert quality.mean_row(rows) == {"ours": [(0.5,), (0.5,)]}
