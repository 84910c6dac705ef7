"""No pickle is ever loaded: not by name, and not behind the back of numpy or torch."""

import ast
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for name in ("worker", "index", "models", "compose", "helm")
    for path in ROOT.glob(f"{name}/**/*.py")
)

# What unpickles, by the name that it is imported under.
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
}
FORBIDDEN_CALLS = {
    "torch.load",
    "torch.hub.load",
    "pandas.read_pickle",
    "np.lib.format.open_memmap",
}


def found(tree):
    """The lines where something may unpickle, and what."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            yield from ((node.lineno, name) for name in names & FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom):
            name = (node.module or "").partition(".")[0]
            if name in FORBIDDEN_MODULES:
                yield node.lineno, name
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FORBIDDEN_CALLS:
                yield node.lineno, name
            allowed = [k.value for k in node.keywords if k.arg == "allow_pickle"]
            if name in {"np.load", "numpy.load"} and not allowed:
                yield node.lineno, "np.load without allow_pickle=False"
            yield from (
                (node.lineno, "allow_pickle is not False")
                for value in allowed
                if not (isinstance(value, ast.Constant) and value.value is False)
            )


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=allow)",
    ],
)
def test_what_is_found(text):
    """The search finds what it is for."""
    assert list(found(ast.parse(text)))


def test_no_pickle():
    """Nothing that is shipped unpickles."""
    assert len(FILES) > 200
    everything = {
        str(path.relative_to(ROOT)): list(found(ast.parse(path.read_text("utf-8"))))
        for path in FILES
    }
    assert {path: lines for path, lines in everything.items() if lines} == {}


def test_the_linter_watches_too():
    """Ruff's rules against pickles (S301, S403) are on, and nothing is excepted from them."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    ignored = {*lint["ignore"], *chain(*lint["per-file-ignores"].values())}
    assert not ignored & {"S", "S3", "S30", "S301", "S4", "S40", "S403", "S614"}
