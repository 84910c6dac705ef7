"""benchmarks/quality.py on small sets of its own."""

import importlib.util
import json
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
