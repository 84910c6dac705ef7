"""Which figure tells a changed encoder from an ordinary stream, on labelled real embeddings.

`python benchmarks/encoder_shift.py [--orders 3]` reads the npz files of the folder `SHOAL_DATA`. Of
each the images come in a random order; in the changed streams the last third of them comes from
another encoder, or of other classes. One stream has the order of the file. Compared are
`encoder_shift`, the distance of the newest window alone, and the same where old images do not stand
out: the similarity to the nearest image of all. The last line is one JSON object.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import exact_knn
from models.vectors import unit_rows
from worker.encoder_shift import distance, encoder_shift

FILES = (
    "omniglot_test_public",
    "caltech101_meta_train",
    "grocery_meta_train",
    "neardup_meta_train",
    "types/font_mid96_meta_train",
    "types/c101_lda48_meta_train",
    "types/avatar_top192_meta_train",
    "types/icon_hog160_meta_train",
    "types/groc_colour125_meta_train",
)
# What the alert ShoalEncoderShift fires at.
ALERT = 0.1
MOST_ROWS = 4_000
NEIGHBOURS = 30

Vectors = NDArray[np.float32]
Random = np.random.Generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=3)
    orders: int = parser.parse_args().orders
    folder = Path(os.environ.get("SHOAL_DATA", "../shared/data"))
    found: dict[str, dict[str, list[float]]] = {}
    for name, vectors, labels in _collections(folder):
        for order in range(orders):
            random = np.random.default_rng(order)
            rows = random.permutation(len(vectors))[:MOST_ROWS]
            streams = dict(_streams(vectors[rows], labels[rows], random))
            streams["in the order of the file"] = vectors[:MOST_ROWS]
            for stream, images in streams.items():
                figures = found.setdefault(stream, {})
                for figure, value in _figures(images).items():
                    figures.setdefault(figure, []).append(value)
                print(name, order, stream, {f: round(v[-1], 3) for f, v in figures.items()})
    spreads = {s: {f: _spread(v) for f, v in of.items()} for s, of in found.items()}
    fired = {s: float(np.mean(np.array(of["encoder_shift"]) > ALERT)) for s, of in found.items()}
    print(json.dumps({"fires": fired, **spreads}))


def _spread(values: list[float]) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return {"min": round(low, 3), "median": round(middle, 3), "max": round(high, 3)}


def _collections(folder: Path) -> Iterator[tuple[str, Vectors, NDArray[np.int64]]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    yield "digits", unit_rows(digits.data), digits.target
    for file in FILES:
        path = folder / f"{file}.npz"
        if not path.exists():
            print(f"{path} is not there: passed over")
            continue
        archive = np.load(path)
        yield path.stem, unit_rows(archive["features"].astype(np.float32)), archive["labels"]


def _streams(
    vectors: Vectors, labels: NDArray[np.int64], random: Random
) -> Iterator[tuple[str, Vectors]]:
    first = len(vectors) - len(vectors) // 3
    yield "ordinary", vectors
    classes = random.permutation(np.unique(labels))
    new = np.isin(labels, classes[: max(1, len(classes) // 10)])
    late = random.permutation(np.concatenate([vectors[~new][first:], vectors[new]]))
    yield "a tenth of the classes new", np.concatenate([vectors[~new][:first], late])
    new = np.isin(labels, classes[: max(1, len(classes) // 3)])
    yield "only new classes", np.concatenate([vectors[~new], vectors[new]])
    changes: dict[str, Callable[[Vectors], Vectors]] = {
        "a tenth of the dimensions rotated": lambda some: _rotated(some, random),
        "noise of a fifth": lambda some: _noisy(some, 0.2, random),
        "noise of a third": lambda some: _noisy(some, 0.33, random),
    }
    for name, change in changes.items():
        yield name, np.concatenate([vectors[:first], unit_rows(change(vectors[first:]))])


def _rotated(vectors: Vectors, random: Random) -> Vectors:
    width = vectors.shape[1]
    some = random.choice(width, width // 10, replace=False)
    turn, _ = np.linalg.qr(random.normal(size=(len(some), len(some))))
    vectors = vectors.copy()
    vectors[:, some] = vectors[:, some] @ turn
    return vectors


def _noisy(vectors: Vectors, length: float, random: Random) -> Vectors:
    noise = random.normal(size=vectors.shape) / np.sqrt(vectors.shape[1])
    return (vectors + length * noise).astype(np.float32)


def _figures(vectors: Vectors) -> dict[str, float]:
    graph = exact_knn(vectors, NEIGHBOURS)
    rows = len(vectors)
    sides = graph.neighbours, graph.similarity, np.ones(rows, np.int32)
    # Without the others every row has the nearest of all, of before or not.
    nearest = graph.neighbours[:, :1] * 0, graph.similarity[:, :1], sides[2]
    shift, window = encoder_shift(*sides), distance(rows - rows // 4, rows, *sides)
    of_all = distance(rows - rows // 4, rows, *nearest)
    assert shift is not None
    assert window is not None
    assert of_all is not None
    return {"encoder_shift": shift, "window_alone": window, "nearest_of_all": of_all}


if __name__ == "__main__":
    main()
