"""R2 to R4 and R7 in a process of their own: `python -m worker.recluster.child VIEW RESULT`.

Standard output carries one JSON object a line: `{"stage": "edges", "progress": 0.25}`, or last
`{"error": "..."}` with exit status 1. The result is there when the exit status is 0.
"""

import argparse
import ctypes
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worker.drift import measure
from worker.gate import decide
from worker.identity import Matching, match
from worker.recluster.clusterer import Clusterer, Clustering, Progress, check
from worker.recluster.result import RunResult, write_result
from worker.recluster.view import View, read_view

NICENESS = 19
_PR_SET_PDEATHSIG = 1

# Progress of one stage is printed no more often than this.
REPORT_SECONDS = 0.2


class Reporter:
    """Prints progress as JSON lines: the first and last of each stage, and now and then."""

    def __init__(self) -> None:
        self._stage = ""
        self._next = 0.0

    def __call__(self, stage: str, progress: float) -> None:
        """Report that `progress` (0..1) of `stage` is done."""
        now = time.monotonic()
        if stage != self._stage or progress >= 1 or now >= self._next:
            self._stage, self._next = stage, now + REPORT_SECONDS
            _print({"stage": stage, "progress": round(float(progress), 4)})


def run(view_directory: Path, result_directory: Path, cluster: Clusterer, report: Progress) -> None:
    """Cluster the view, match identities, measure drift, judge, and write the result. Blocks."""
    started = time.perf_counter()
    view = read_view(view_directory)
    clustering = cluster(view, report)
    check(clustering, view.counts)
    report("match", 0.0)
    matching_started = time.perf_counter()
    new = clustering.labels.astype(np.int64)
    matching = match(view.labels, new, view.counts, view.pinned, view.history, view.live)
    ended = time.perf_counter()
    seconds = {
        **clustering.seconds,
        "match": ended - matching_started,
        "total": ended - started,
    }
    result = _result(view, clustering, matching, seconds)
    write_result(result_directory, result, clustering.context.save)
    report("match", 1.0)


def main(cluster: Clusterer, arguments: Sequence[str]) -> int:
    """Run as a child process with `cluster`; return the exit status."""
    parser = argparse.ArgumentParser(description="One reclustering, from a view to a result.")
    parser.add_argument("view", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--parent", type=int, help="process id with which to die")
    options = parser.parse_args(arguments)
    if options.parent is not None:
        _die_with(options.parent)
    _yield_to_others()
    try:
        run(options.view, options.result, cluster, Reporter())
    except Exception as error:  # noqa: BLE001  whatever it is, the parent must hear of it
        traceback.print_exc()
        _print({"error": f"{type(error).__name__}: {error}"})
        return 1
    return 0


def _yield_to_others() -> None:
    """Run when nothing else would: a niced process alone still finishes its time slice first."""
    os.nice(NICENESS)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def hilander(view: View, progress: Progress) -> Clustering:
    """Run Hi-LANDER on all cores but one, or on CUDA where there is one."""
    import torch

    from models import KnnGraph, load_model

    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) - 1))
    return load_model(view.weights).cluster(
        view.vectors(),
        KnnGraph(view.neighbours, view.similarity),
        view.counts,
        granularity=view.granularity,
        group_size=view.group_size,
        progress=progress,
    )


def _result(
    view: View, clustering: Clustering, matching: Matching, seconds: dict[str, float]
) -> RunResult:
    drift = measure(
        view.labels, matching.cluster, view.counts, view.provisional, clustering.confidence
    )
    return RunResult(
        generation=view.generation,
        n=view.n,
        cluster=matching.cluster,
        confidence=clustering.confidence.astype(np.float32),
        clusters=matching.codes,
        exemplars=clustering.exemplars[matching.labels].astype(np.int64),
        retired=matching.retired,
        revived=matching.revived,
        events=matching.events,
        levels=tuple(level.astype(np.int32) for level in clustering.levels),
        drift=drift,
        verdict=decide(drift, view.gate),
        seconds=seconds,
        expected_f=float(clustering.expected_f),
    )


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def _print(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201  standard output is the protocol


if __name__ == "__main__":
    sys.exit(main(hilander, sys.argv[1:]))
