"""R2 to R5 and R7 in a process of their own: `python -m worker.recluster.child VIEW RESULT`.

Standard output carries one JSON object a line: `{"stage": "edges", "progress": 0.25}`, or last
`{"error": "..."}` with exit status 1. The result is there when the exit status is 0.

With `--linger SECONDS` a process that had a small collection prints `{"done": true}` instead of
ending, and waits so long for the next run: a line `[VIEW, RESULT]` on standard input. To load what
it needs takes a hundred times as long as a run over a few hundred images.
"""

import argparse
import json
import os
import select
import sys
import time
import traceback
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index import die_with, reach_fault
from worker.agreement import BELONGS, Table
from worker.correct import correct
from worker.drift import as_groups, measure
from worker.gate import decide
from worker.identity import Matching, match
from worker.recluster.clusterer import Clusterer, Clustering, Progress, check
from worker.recluster.folder import ERRORS, OUTPUT
from worker.recluster.result import RunResult, write_result
from worker.recluster.view import View, read_view

if TYPE_CHECKING:
    from models import Model

NICENESS = 19

# A process that had more rows than this keeps too much memory to linger.
LINGERING_ROWS = 20_000

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


def run(view_directory: Path, result_directory: Path, cluster: Clusterer, report: Progress) -> int:
    """Cluster the view, match identities, apply corrections, measure drift, judge, and write the
    result; how many rows the view has. Blocks.
    """
    started = time.perf_counter()
    view = read_view(view_directory)
    reach_fault("R2-child")
    clustering = cluster(view, report)
    check(clustering, view.counts)
    report("match", 0.0)
    reach_fault("R4")
    matching_started = time.perf_counter()
    new = clustering.labels.astype(np.int64)
    matching = match(view.labels, new, view.counts, view.pinned, view.history, view.live)
    reach_fault("R5-child")
    correcting_started = time.perf_counter()
    matching, holds = _correct(view, clustering, matching)
    ended = time.perf_counter()
    seconds = {
        **clustering.seconds,
        "match": correcting_started - matching_started,
        "correct": ended - correcting_started,
        "total": ended - started,
    }
    result = _result(view, clustering, matching, holds, seconds)
    write_result(result_directory, result, clustering.context.save)
    report("match", 1.0)
    return view.n


def main(cluster: Clusterer, arguments: Sequence[str]) -> int:
    """Run as a child process with `cluster`; return the exit status."""
    parser = argparse.ArgumentParser(description="One reclustering, from a view to a result.")
    parser.add_argument("view", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--parent", type=int, help="process id with which to die")
    parser.add_argument("--linger", type=float, help="seconds to wait for the next run")
    options = parser.parse_args(arguments)
    if options.parent is not None:
        die_with(options.parent)
    _yield_to_others()
    view, result = options.view, options.result
    while True:
        try:
            rows = run(view, result, cluster, Reporter())
        except Exception as error:  # noqa: BLE001  whatever it is, the parent must hear of it
            traceback.print_exc()
            _print({"error": f"{type(error).__name__}: {error}"})
            return 1
        if options.linger is None or rows > LINGERING_ROWS:
            return 0
        _print({"done": True})
        following = _await_next(options.linger)
        if following is None:
            return 0
        view, result = following


def _await_next(seconds: float) -> tuple[Path, Path] | None:
    """View and result of the next run, whose output goes to the files of its view from now on."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    line = sys.stdin.readline() if ready else ""
    if not line:
        return None
    view, result = (Path(path) for path in json.loads(line))
    for name, stream in ((OUTPUT, sys.stdout), (ERRORS, sys.stderr)):
        stream.flush()
        with (view / name).open("ab") as file:
            os.dup2(file.fileno(), stream.fileno())
    return view, result


def _yield_to_others() -> None:
    """Run when nothing else would: a niced process alone still finishes its time slice first."""
    os.nice(NICENESS)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def hilander(view: View, progress: Progress) -> Clustering:
    """Run Hi-LANDER on all cores but one, or on CUDA where there is one."""
    import torch

    from models import KnnGraph
    from worker.recluster.settled import settled

    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) - 1))
    found = _model(view.weights, *_when_written(view.weights)).cluster(
        view.vectors(),
        KnnGraph(view.neighbours, view.similarity),
        view.counts,
        granularity=view.granularity,
        group_size=view.group_size,
        progress=progress,
    )
    return settled(found, view)


@lru_cache(1)
def _model(weights: Path | None, *_when_written: int) -> "Model":
    """The model of a folder, kept for the next run: to load it takes as long as a small one."""
    from models import load_model

    return load_model(weights)


def _when_written(weights: Path | None) -> list[int]:
    """What changes with the files of a folder."""
    files = sorted(weights.glob("*")) if weights else []
    return [file.stat().st_mtime_ns for file in files]


def _correct(
    view: View, clustering: Clustering, matching: Matching
) -> tuple[Matching, NDArray[np.bool_]]:
    """R5; the clusters are matched once more where it changed any."""
    groups = as_groups(matching.cluster)
    table = _of_now(view.corrections, matching)
    corrected = correct(groups, table, view.labels, view.vectors(), clustering.levels)
    if not np.array_equal(corrected.groups, groups):
        matching = match(
            view.labels,
            corrected.groups,
            view.counts,
            view.pinned,
            view.history,
            view.live,
            corrected.numbers,
        )
    return matching, corrected.holds


def _of_now(table: Table, matching: Matching) -> Table:
    """`table` with the groups that the clusters it names have become."""
    table = table.copy()
    for place in np.flatnonzero(table[:, 1] == BELONGS).tolist():
        heir = matching.retired.get(int(table[place, 3]))
        if heir is not None:
            table[place, 3] = as_groups(np.array([heir], np.int32))[0]
    return table


def _result(
    view: View,
    clustering: Clustering,
    matching: Matching,
    holds: NDArray[np.bool_],
    seconds: dict[str, float],
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
        exemplars=_exemplars(view, clustering, matching),
        retired=matching.retired,
        revived=matching.revived,
        events=matching.events,
        levels=tuple(level.astype(np.int32) for level in clustering.levels),
        drift=drift,
        verdict=decide(drift, view.gate),
        seconds=seconds,
        corrections=int(holds.sum()),
        contradicted=tuple(view.corrections[~holds, 0].tolist()),
        expected_f=float(clustering.expected_f),
        method=clustering.method,
        reason=clustering.reason,
        device=clustering.device,
        questions=clustering.questions,
        granularity=view.granularity,
    )


def _exemplars(view: View, clustering: Clustering, matching: Matching) -> NDArray[np.int64]:
    """The most typical row of each cluster, int64 [clusters]: of the largest one of the clusterer's
    whose own is in it, or the row it is surest of.
    """
    sizes = np.bincount(clustering.labels[view.counts > 0], minlength=len(clustering.exemplars))
    rows = clustering.exemplars[np.argsort(sizes[: len(clustering.exemplars)], kind="stable")]
    rows = rows.astype(np.int64)
    found = dict(zip(matching.cluster[rows].tolist(), rows.tolist(), strict=True))
    for code in set(matching.codes.tolist()) - set(found):
        members = np.flatnonzero(matching.cluster == code)
        found[code] = members[np.argmax(clustering.confidence[members])]
    return np.array([found[code] for code in matching.codes.tolist()], np.int64)


def _print(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201  standard output is the protocol


if __name__ == "__main__":
    sys.exit(main(hilander, sys.argv[1:]))
