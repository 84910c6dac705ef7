"""CPU seconds by stage, memory and quality of whole runs over made-up collections.

    python benchmarks/recluster.py [--rows 20000 100000 1000000] [--dimension 128] [--spread 1.1]
        [--threads 1] [--device cuda]

`--spread` is the noise within a class, against 1 between those of a family: at 1.1 groups are
mostly found, at 2.2 hardly, which is more work. The k-NN graph, which a worker keeps, is made
beforehand and kept in `--folder`; vectors are mapped from a file there. Each size runs in a process
of its own, after a small run that loads all code. `cpu` is user time of all threads; `memory` is
the peak beyond graph and mapped vectors. The last line is one JSON object. With `--device cuda`
each size runs on the CPU as well; `same` is the share of rows whose clusters have the same members
in both results, `gpu_memory_mb` the peak on the GPU.
"""

import argparse
import json
import re
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models import KnnGraph, evaluate, exact_knn, load_model

FAMILY = 8
SPREAD = 1.1
WARM_ROWS = 2_000
# Neighbours are looked for among so many rows, in which whole families lie together.
BLOCK_ROWS = 20_000


def collection(
    rows: int, d: int, spread: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Classes of power-law sizes in families of look-alikes: unit rows and their classes."""
    rng = np.random.default_rng(seed)
    sizes = np.minimum(1 + (rng.pareto(1.2, rows) * 4).astype(int), 300)
    sizes = sizes[: int(np.searchsorted(sizes.cumsum(), rows)) + 1]
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes)[:rows])
    family = rng.standard_normal((len(sizes) // FAMILY + 1, d)).astype(np.float32)
    centre = family[np.arange(len(sizes)) // FAMILY]
    centre += rng.standard_normal((len(sizes), d)).astype(np.float32)
    x = np.float32(spread) * rng.standard_normal((rows, d)).astype(np.float32)
    for start in range(0, rows, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        x[block] += centre[labels[block]]
        x[block] /= np.linalg.norm(x[block], axis=1, keepdims=True)
    return x, labels


def graph_of(vectors: NDArray[np.float32], labels: NDArray[np.int64], device: str) -> KnnGraph:
    """Exact up to 100,000 rows; of more, exact within blocks of whole families.

    A row's neighbours of its own family are the same either way.
    """
    if len(vectors) <= 100_000:
        return exact_knn(vectors, device=device)
    order = np.argsort(labels, kind="stable")
    family = labels[order] // FAMILY
    graph = KnnGraph(
        np.empty((len(vectors), 30), np.int32), np.empty((len(vectors), 30), np.float32)
    )
    start = 0
    while start < len(order):
        stop = min(start + BLOCK_ROWS, len(order))
        if len(order) - stop >= BLOCK_ROWS:
            stop = int(np.searchsorted(family, family[stop]))
        else:
            stop = len(order)
        rows = order[start:stop]
        part = exact_knn(vectors[rows], device=device)
        graph.neighbours[rows] = rows[part.neighbours]
        graph.similarity[rows] = part.similarity
        start = stop
    return graph


def prepare(folder: Path, rows: int, d: int, spread: float, device: str) -> None:
    """Make vectors, classes and graph, unless they are there."""
    if (folder / "similarity.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    vectors, labels = collection(rows, d, spread, seed=1)
    graph = graph_of(vectors, labels, device)
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "neighbours.npy", graph.neighbours)
    np.save(folder / "similarity.npy", graph.similarity)


class Clock:
    """Takes CPU and wall time whenever a run reports another stage."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}
        self.wall: dict[str, float] = {}
        self._stage = ""
        self._since = _now()

    def __call__(self, stage: str, _share: float) -> None:
        """A `models.graph.Progress`."""
        if stage == self._stage:
            return
        now = _now()
        if self._stage:
            self.cpu[self._stage] = now[0] - self._since[0]
            self.wall[self._stage] = now[1] - self._since[1]
        self._stage, self._since = stage, now


def _now() -> tuple[float, float]:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime, time.perf_counter()


def _memory(name: str) -> float:
    """MB of this process: VmRSS, what it has now; VmHWM, the most it had."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def measure(folder: Path, threads: int, device: str) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """Figures and labels of one run; blocks."""
    torch.set_num_threads(threads)
    model = load_model(device=device)
    warm, _ = collection(WARM_ROWS, 128, SPREAD, seed=2)
    model.cluster(warm, exact_knn(warm))
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    graph = KnnGraph(np.load(folder / "neighbours.npy"), np.load(folder / "similarity.npy"))
    for start in range(0, len(vectors), BLOCK_ROWS):
        vectors[start : start + BLOCK_ROWS].sum()  # the whole map counts as input
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _memory("VmRSS")
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    clock = Clock()
    result = model.cluster(vectors, graph, progress=clock)
    clock("end", 1.0)
    memory = _memory("VmHWM") - before
    scores = evaluate(np.load(folder / "labels.npy"), result.labels)
    figures = {
        "rows": len(vectors),
        "device": device,
        "cpu": {stage: round(value, 2) for stage, value in clock.cpu.items()},
        "cpu_seconds": round(sum(clock.cpu.values()), 2),
        "wall": {stage: round(value, 2) for stage, value in clock.wall.items()},
        "wall_seconds": round(sum(clock.wall.values()), 2),
        "memory_mb": round(memory),
        "clusters": len(result.exemplars),
        "pairwise_f": round(scores.pairwise_f, 4),
        "bcubed_f": round(scores.bcubed_f, 4),
    }
    if device == "cuda":
        figures["gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6)
    return figures, result.labels


def same(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """The share of rows whose clusters have the same members in both."""
    both, meeting = np.unique(np.stack((one, other)), axis=1, return_inverse=True)
    together = np.bincount(meeting.ravel())
    whole = (together == np.bincount(one)[both[0]]) & (together == np.bincount(other)[both[1]])
    return float(together[whole].sum() / len(one))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--spread", type=float, default=SPREAD)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "shoal-runs")
    arguments = parser.parse_args()
    runs = []
    for rows in arguments.rows:
        folder = arguments.folder / f"{rows}x{arguments.dimension}-{arguments.spread}"
        prepare(folder, rows, arguments.dimension, arguments.spread, arguments.device)
        labels = []
        for device in dict.fromkeys(("cpu", arguments.device)):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as own_process:
                run, found = own_process.submit(measure, folder, arguments.threads, device).result()
            labels.append(found)
            runs.append(run | {"same": round(same(labels[0], found), 4)})
            print_run(runs[-1])
    asked = {name: getattr(arguments, name) for name in ("threads", "dimension", "spread")}
    print(json.dumps({"benchmark": "recluster"} | asked | {"runs": runs}))


def print_run(run: dict[str, Any]) -> None:
    stages = "  ".join(f"{stage} {value:.2f}" for stage, value in run["cpu"].items())
    print(
        f"{run['rows']:>9,} rows on {run['device']}  CPU {run['cpu_seconds']:.2f} s ({stages})  "
        f"wall {run['wall_seconds']:.2f} s  memory {run['memory_mb']} MB  "
        f"F {run['pairwise_f']:.3f} / {run['bcubed_f']:.3f}  same {run['same']:.4f}\n"
        f"{'':>18} wall by stage {run['wall']}",
        flush=True,
    )


if __name__ == "__main__":
    main()
