"""Clustering quality on labelled sets of classes that were never trained on.

    python benchmarks/quality.py [--data FOLDER] [--only NAME ...] [--weights FOLDER] [--ours]
                                 [--seeds 0 1] [--cache FOLDER]

Reads `*_test_public.npz` and `types/*_test.npz` of the data folder ($SHOAL_DATA, else
../shared/data) and scikit-learn's digits. A test without a `*_meta_train.npz` beside it goes
without the peers that need one. Compares, as mean of pairwise and BCubed F over the seeds: this
model told nothing but the word for the classes (ours), the true size of groups as well (told), or
instead 100 answers on pairs that it picks (answers); average linkage, connected components and
FINCH with the threshold that is best on the set's own meta-train; the linker trained there;
HDBSCAN of scikit-learn, fast_hdbscan and evoc with their defaults. A * marks what was chosen on
the test labels: these thresholds and smallest sizes. This model's figures have pairwise F /
BCubed F / NMI behind them; with several seeds the spread is largest less smallest. The JSON also
says how far each run misjudged itself (misjudged.py), and its gain over the reference's pairwise F.

The bar of a set is the best of the linker and everything with a *, here or as stated beside the
data (STATED, types/README.md). Peers are kept in the cache and not run again; a run that was
stopped goes on where it was. The last line is one JSON object.
"""

import argparse
import json
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from misjudged import Edges, Misjudged, means_of, within
from numpy.typing import NDArray

from models import Model, ask, calibrated, cluster, evaluate, load_model
from models.peers.choose import best_parameter, worth
from models.peers.components import Components
from models.peers.density import Density, evoc, fast_hdbscan, sklearn_hdbscan
from models.peers.finch import Finch
from models.peers.linkage import AverageLinkage
from models.peers.linker import Linker
from models.training.prepared import seen_size
from models.training.shipped import data_folder, word_of
from models.training.sources import LabelledSet, few_rows, read_set
from models.vectors import unit_rows

THREADS = 2
CUTS = {"linkage": AverageLinkage, "components": Components, "finch": Finch}
DENSITIES = {"hdbscan": "sklearn", "fast_hdbscan": "fast_hdbscan", "evoc": "evoc"}
# Better of linker and classic oracle where the data's description has them: means of both F.
STATED = {"omniglot": 0.803, "neardup": 0.678, "caltech101": 0.8785, "grocery": 0.5625}
# Pairwise F of the reference Hi-LANDER, trained in the domain of each set (data's description).
REFERENCE = {"omniglot": 0.481, "neardup": 0.343}
DIGITS = "digits"
METHODS = ("ours", "told", "answers")
ANSWERS = 100

Labels = NDArray[np.int64]
Figures = tuple[float, ...]
"""The mean of both F; of this model pairwise F, BCubed F and NMI as well."""
Row = dict[str, list[Figures]]
"""Per method the figures of every seed."""
Table = dict[str, Row]
"""The row of every set."""
SCORES = ("pairwise_f", "bcubed_f", "nmi")


@dataclass(frozen=True, slots=True)
class Case:
    """A test and, where there are any, the classes of its domain to train on."""

    name: str
    test: LabelledSet
    train: LabelledSet | None


def cases(data: Path) -> Iterator[tuple[str, Callable[[], Case]]]:
    files = {file.stem[: -len("_test_public")]: file for file in data.glob("*_test_public.npz")}
    types = {file.stem[: -len("_test")]: file for file in data.glob("types/*_test.npz")}
    for name, file in (sorted(files.items()) + sorted(types.items())) if files or types else []:
        yield name, partial(from_file, name, file)
    yield DIGITS, digits


def from_file(name: str, file: Path) -> Case:
    word = word_of(name)
    home = file.with_name(f"{name}_meta_train.npz")
    return Case(name, read_set(file, word), read_set(home, word) if home.exists() else None)


def digits() -> Case:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    return Case(DIGITS, LabelledSet(DIGITS, unit_rows(bunch.data), labels, "thing"), None)


def ours(case: Case, model: Model, seed: int) -> Iterator[tuple[str, Figures, Misjudged]]:
    """Method, figures, and how far the run misjudges itself."""
    labels = case.test.labels
    run = partial(
        cluster, case.test.unit, granularity=case.test.granularity, model=model, seed=seed
    )
    found = run()
    pairs = ask(found, ANSWERS, seed=seed)
    runs = {
        "ours": found,
        "told": run(group_size=seen_size(labels)),
        "answers": calibrated(found, pairs, labels[pairs[:, 0]] == labels[pairs[:, 1]]),
    }
    edges = Edges(case.test.unit, labels, model.k)
    for method, result in runs.items():
        off = Misjudged.of(labels, result, edges.error(model, result))
        yield method, figures_of(labels, result.labels), off


def figures_of(labels: Labels, found: Labels) -> Figures:
    scores = evaluate(labels, found)
    return worth(labels, found), *(getattr(scores, name) for name in SCORES)


def peers(case: Case, seed: int) -> Iterator[tuple[str, Callable[[], float]]]:
    """Every peer's figure, to be computed when it is not in the cache."""
    test, train = case.test, case.train

    def oracle(cuts: Density | AverageLinkage | Components | Finch) -> float:
        return worth(test.labels, cuts.labels(best_parameter(cuts, test.labels)))

    for name, kind in CUTS.items():
        yield f"{name}*", lambda kind=kind: oracle(kind(test.unit))
        if train is not None:
            yield name, partial(transferred, kind, train, test, seed)
    made = {"hdbscan": sklearn_hdbscan, "fast_hdbscan": fast_hdbscan}
    made["evoc"] = partial(evoc, seed=seed)
    for name, package in DENSITIES.items():
        if find_spec(package) is not None:
            peer = Density(test.unit, made[name])
            yield name, lambda peer=peer: worth(test.labels, peer.labels())
            yield f"{name}*", partial(oracle, peer)
    if train is not None:
        yield "linker", lambda: worth(test.labels, Linker(train, seed).labels(test.unit))


def transferred(
    kind: type[AverageLinkage | Components | Finch],
    train: LabelledSet,
    test: LabelledSet,
    seed: int,
) -> float:
    order = np.random.default_rng(seed).permutation(train.classes)
    mixed = replace(train, labels=order[train.labels])
    part = few_rows(mixed)
    parameter = best_parameter(kind(part.unit), part.labels)
    return worth(test.labels, kind(test.unit).labels(parameter))


class Cache:
    """Figures of peers that were computed before, one small file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def figure(self, key: str, compute: Callable[[], float]) -> float:
        """What is kept under `key`, computed first where nothing is."""
        file = self.folder / f"{key.replace('*', '_tuned')}.json"
        if not file.exists():
            file.write_text(json.dumps(compute()))
        return float(json.loads(file.read_text()))


def stated_bars(data: Path) -> dict[str, float]:
    """STATED, and the better of both tuned baselines of each line of types/README.md."""
    bars = dict(STATED)
    readme = data / "types" / "README.md"
    for line in readme.read_text().splitlines() if readme.exists() else []:
        columns = [column.strip() for column in line.strip("|").split("|")]
        pairs = [re.fullmatch(r"([\d.]+) / ([\d.]+)", column) for column in columns[8:10]]
        if all(pairs) and len(pairs) == 2:
            bars[columns[0]] = max((float(p[1]) + float(p[2])) / 2 for p in pairs if p)
    return bars


def bar_of(row: Row, stated: float) -> float:
    """The best of the linker, of what was tuned on the test, and of what is stated."""
    counted = [name for name in row if name == "linker" or name.endswith("*")]
    return max([stated, *(float(np.mean(row[name])) for name in counted)])


def mean_row(rows: list[Row]) -> Row:
    """The mean over sets at every seed, of the methods that every set has."""
    everywhere = [method for method in rows[0] if all(method in row for row in rows)]
    return {
        method: [tuple(figures) for figures in np.mean([row[method] for row in rows], axis=0)]
        for method in everywhere
    }


def shown(row: Row) -> str:
    """Each method's mean over the seeds, and the spread where there are several."""
    return "  ".join(f"{method} {_with_spread(seeds)}" for method, seeds in row.items())


def _with_spread(seeds: list[Figures]) -> str:
    mean = _joined(np.mean(seeds, axis=0))
    return mean if len(seeds) == 1 else f"{mean} spread {_joined(np.ptp(seeds, axis=0))}"


def _joined(figures: NDArray[np.float64]) -> str:
    both, *three = (f"{figure:.3f}" for figure in figures)
    return f"{both} ({'/'.join(three)})" if three else both


def scores_of(row: Row) -> dict[str, dict[str, list[float]]]:
    """Of each way of this model the three scores: mean over the seeds, and spread."""
    return {
        method: dict(zip(SCORES, _pairs(row[method])[1:], strict=True))
        for method in METHODS
        if method in row
    }


def _pairs(seeds: list[Figures]) -> list[list[float]]:
    """Mean and spread over the seeds of each figure."""
    both = np.mean(seeds, axis=0), np.ptp(seeds, axis=0)
    return np.transpose(both).round(4).tolist()


def summary(
    table: Table, misjudged: dict[str, list[Misjudged]], stated: dict[str, float]
) -> dict[str, object]:
    sets = {}
    for name, row in table.items():
        sets[name] = {method: _pairs(seeds)[0] for method, seeds in row.items()} | {
            "bar": round(bar_of(row, stated.get(name, 0.0)), 4),
            "scores": scores_of(row),
        }
    types = types_of(table)
    result: dict[str, object] = {}
    for method in METHODS:
        over = [name for name in sets if sets[name][method][0] >= sets[name]["bar"]]
        result[method] = {
            "at_or_over_bar": len(over),
            "types_at_or_over_bar": len([name for name in over if name in types]),
            "types_mean": mean_of(sets[name][method][0] for name in types),
            "misjudged": means_of(misjudged[method]),
            "within_a_tenth": within(misjudged[method], 0.1),
            "within_a_twentieth": within(misjudged[method], 0.05),
            "gain_over_reference": gain(table, method),
        }
    for name, rows in means_over(table).items():
        result[f"{name}_scores"] = scores_of(mean_row(rows))
    result["types_mean_bar"] = mean_of(sets[name]["bar"] for name in types)
    return {"benchmark": "quality", "types": len(types)} | result | {"sets": sets}


def gain(table: Table, method: str) -> float | None:
    """By which share the pairwise F exceeds that of the reference, a mean over its sets."""
    return mean_of(
        float(np.mean([seed[1] for seed in table[name][method]])) / reference - 1
        for name, reference in REFERENCE.items()
        if name in table
    )


def types_of(table: Table) -> list[str]:
    return [name for name in table if name not in STATED and name != DIGITS]


def means_over(table: Table) -> dict[str, list[Row]]:
    """The rows of which means are said: of all sets, and of the types."""
    over = {"all": list(table.values()), "types": [table[name] for name in types_of(table)]}
    return {name: rows for name, rows in over.items() if rows}


def mean_of(values: Iterator[float]) -> float | None:
    found = list(values)
    return round(float(np.mean(found)), 4) if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--only", nargs="+", help="names of sets")
    parser.add_argument("--weights", type=Path, help="default: the shipped ones")
    parser.add_argument("--ours", action="store_true", help="leave the others out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--cache", type=Path, default=Path("build/quality"))
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(THREADS)
    if not any(arguments.data.glob("*_test_public.npz")):
        print(f"{arguments.data} holds no test sets: digits only", file=sys.stderr)
    read_by = dict(cases(arguments.data))
    for name in arguments.only or ():
        if name not in read_by:
            parser.error(f"--only: {name!r} is no set; there are {', '.join(read_by)}")
    start = time.perf_counter()
    model = load_model(arguments.weights, allow_unusable=True)
    cache = Cache(arguments.cache)
    table: Table = {}
    misjudged: dict[str, list[Misjudged]] = {method: [] for method in METHODS}
    for name in dict.fromkeys(arguments.only or read_by):
        case = read_by[name]()
        row = table.setdefault(name, {})
        for seed in arguments.seeds:
            for method, figures, off in ours(case, model, seed):
                row.setdefault(method, []).append(figures)
                misjudged[method].append(off)
            for method, compute in [] if arguments.ours else peers(case, seed):
                figure = cache.figure(f"{name}-{method}-{seed}", compute)
                row.setdefault(method, []).append((figure,))
        print(f"{name:20s}  {shown(row)}", flush=True)
    for name, rows in means_over(table).items():
        print(f"{f'mean of {name}, {len(rows)}':20s}  {shown(mean_row(rows))}", flush=True)
    result = summary(table, misjudged, stated_bars(arguments.data))
    print(json.dumps(result | {"seconds": round(time.perf_counter() - start, 1)}))


if __name__ == "__main__":
    main()
