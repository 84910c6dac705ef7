"""Seconds by stage of a whole run over made-up collections of growing size.

    python benchmarks/recluster.py [--rows 20000 50000 100000] [--dimension 128] [--threads 2]

`graph` is the exact k-NN graph, which a worker keeps up to date and does not build here; the
other stages are those of a reclustering. The last line is one JSON object.
"""

import argparse
import json
import resource
import time

import numpy as np
import torch
from numpy.typing import NDArray

from models import Model, evaluate, exact_knn, load_model

FAMILY = 8


def collection(rows: int, d: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Classes of power-law sizes in families of look-alikes: unit rows and their classes."""
    rng = np.random.default_rng(seed)
    sizes = np.minimum(1 + (rng.pareto(1.2, rows) * 4).astype(int), 300)
    sizes = sizes[: int(np.searchsorted(sizes.cumsum(), rows)) + 1]
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes)[:rows])
    family = rng.standard_normal((len(sizes) // FAMILY + 1, d))
    centre = family[np.arange(len(sizes)) // FAMILY] + rng.standard_normal((len(sizes), d))
    x = centre[labels] + 1.1 * rng.standard_normal((rows, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), labels


def measure(model: Model, rows: int, d: int) -> dict[str, float]:
    vectors, labels = collection(rows, d, seed=1)
    start = time.perf_counter()
    graph = exact_knn(vectors)
    seconds = {"graph": time.perf_counter() - start}
    result = model.cluster(vectors, graph)
    seconds |= result.seconds
    seconds["recluster"] = sum(result.seconds.values())
    scores = evaluate(labels, result.labels)
    # Linux counts the peak of the whole process in KiB, so it only ever grows.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line = "  ".join(f"{stage} {value:.2f}" for stage, value in seconds.items())
    print(f"{rows:>9,} rows  {line}  F {scores.pairwise_f:.3f}  peak {peak:.2f} GiB", flush=True)
    return {stage: round(value, 3) for stage, value in seconds.items()} | {
        "rows": rows,
        "clusters": len(result.exemplars),
        "pairwise_f": round(scores.pairwise_f, 4),
        "peak_gib": round(peak, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 50_000, 100_000])
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = load_model()
    runs = [measure(model, rows, arguments.dimension) for rows in arguments.rows]
    figures = {"benchmark": "recluster", "threads": arguments.threads, "device": model.device}
    print(json.dumps(figures | {"dimension": arguments.dimension, "runs": runs}))


if __name__ == "__main__":
    main()
