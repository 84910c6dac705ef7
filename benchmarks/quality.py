"""Clustering quality on labelled sets of classes that were never trained on.

    python benchmarks/quality.py [--data FOLDER] [--only NAME ...] [--weights FOLDER] [--ours]

Reads `*_test_public.npz` and `types/*_test.npz` of the data folder ($SHOAL_DATA, else
../shared/data) and compares, as pairwise F / BCubed F / NMI: this model told nothing but the word
for the classes (ours), and told the true size of groups as well (told); average linkage with the
threshold that is best on the set's own meta-train; and HDBSCAN with the defaults of scikit-learn.
The last line is one JSON object.
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import HDBSCAN

from models import Model, cluster, evaluate, load_model
from models.training.prepared import seen_size
from models.training.shipped import data_folder, word_of
from models.training.sources import LabelledSet, read_set

THREADS = 2
# Average linkage needs all pairs: its threshold is chosen on so many rows of whole classes.
TUNING_ROWS = 3_000
THRESHOLDS = 60
METHODS = ("ours", "told", "linkage", "hdbscan")

Labels = NDArray[np.int64]
Figures = tuple[float, float, float]


def average_linkage(unit: NDArray[np.float32]) -> NDArray[np.float64]:
    return linkage(unit, method="average", metric="cosine")


def best_threshold(train: LabelledSet) -> float:
    """The merge height whose clusters have the largest pairwise F + BCubed F."""
    rng = np.random.default_rng(0)
    order = rng.permutation(train.classes)
    rows = np.bincount(train.labels)[order].cumsum()
    part = train.of_classes(order[: max(2, int(np.searchsorted(rows, TUNING_ROWS)))])
    tree = average_linkage(part.unit)

    def worth(threshold: float) -> float:
        scores = evaluate(part.labels, fcluster(tree, threshold, "distance"))
        return scores.pairwise_f + scores.bcubed_f

    return float(max(np.quantile(tree[:, 2], np.linspace(0, 1, THRESHOLDS)), key=worth))


def hdbscan(unit: NDArray[np.float32]) -> Labels:
    """Noise points are clusters of their own."""
    labels = HDBSCAN(copy=True).fit_predict(unit).astype(np.int64)
    noise = labels < 0
    labels[noise] = labels.max(initial=-1) + 1 + np.arange(int(noise.sum()))
    return labels


def figures(labels: Labels, found: Labels) -> Figures:
    scores = evaluate(labels, found)
    return scores.pairwise_f, scores.bcubed_f, scores.nmi


def measure(file: Path, name: str, model: Model, *, ours_only: bool) -> dict[str, Figures]:
    test = read_set(file, word_of(name))
    rows = {}
    for method, size in (("ours", None), ("told", seen_size(test.labels))):
        found = cluster(test.unit, granularity=test.granularity, group_size=size, model=model)
        rows[method] = figures(test.labels, found.labels)
    if ours_only:
        return rows
    train = read_set(file.with_name(f"{name}_meta_train.npz"), word_of(name))
    height = best_threshold(train)
    linked = fcluster(average_linkage(test.unit), height, "distance")
    rows["linkage"] = figures(test.labels, linked.astype(np.int64))
    rows["hdbscan"] = figures(test.labels, hdbscan(test.unit))
    return rows


def test_files(data: Path) -> dict[str, Path]:
    public = {file.stem[: -len("_test_public")]: file for file in data.glob("*_test_public.npz")}
    types = {file.stem[: -len("_test")]: file for file in data.glob("types/*_test.npz")}
    return dict(sorted(public.items())) | dict(sorted(types.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--only", nargs="+", help="names of sets")
    parser.add_argument("--weights", type=Path, help="default: the shipped ones")
    parser.add_argument("--ours", action="store_true", help="leave the others out")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    torch.set_num_threads(THREADS)
    files = test_files(arguments.data)
    if arguments.only:
        files = {name: file for name, file in files.items() if name in arguments.only}
    if not files:
        print(f"skipped: {arguments.data} holds no test sets", file=sys.stderr)
        print(json.dumps({"benchmark": "quality", "skipped": True}))
        return
    start = time.perf_counter()
    model = load_model(arguments.weights, allow_unusable=True)
    methods = METHODS[:2] if arguments.ours else METHODS
    print(f"{'pairwise/BCubed/NMI':20s}  " + "  ".join(f"{name:17s}" for name in methods))
    sets: dict[str, dict[str, Figures]] = {}
    for name, file in files.items():
        sets[name] = measure(file, name, model, ours_only=arguments.ours)
        shown = ("/".join(f"{value:.3f}" for value in sets[name][method]) for method in methods)
        print(f"{name:20s}  " + "  ".join(shown), flush=True)
    print(json.dumps(summary(sets, methods, files) | {"seconds": time.perf_counter() - start}))


def summary(
    sets: dict[str, dict[str, Figures]], methods: tuple[str, ...], files: dict[str, Path]
) -> dict[str, object]:
    """All figures, and for the types the mean of pairwise and BCubed F."""
    types = [name for name, file in files.items() if file.parent.name == "types"]
    means = {
        method: round(float(np.mean([np.mean(sets[name][method][:2]) for name in types])), 4)
        for method in methods
        if types
    }
    rounded = {
        name: {method: [round(value, 4) for value in row] for method, row in rows.items()}
        for name, rows in sets.items()
    }
    return {"benchmark": "quality", "types_mean_f": means, "types": len(types), "sets": rounded}


if __name__ == "__main__":
    main()
