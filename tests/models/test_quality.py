"""benchmarks/quality.py on small sets of its own."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "quality.py"


@pytest.fixture(scope="module")
def quality():
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("quality", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
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


def test_a_single_seed_has_no_spread(measured):
    """Nothing beside the mean pretends to be one."""
    lines, _ = measured("--seeds", 0, "--ours")
    assert not [line for line in lines if "spread" in line]


def test_means_are_of_each_seed(quality):
    """Over sets first; the spread is that of the means, and only of methods that every set has."""
    rows = [{"ours": [(0.0,), (1.0,)], "evoc": [(1.0,)]}, {"ours": [(1.0,), (0.0,)]}]
    assert quality.mean_row(rows) == {"ours": [(0.5,), (0.5,)]}
