"""R3: what a run found, on disk, until the ingest loop applies it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from worker.drift import Drift
from worker.errors import CorruptError
from worker.gate import Verdict
from worker.recluster.folder import MANIFEST, Attachment, Folder, read_folder, write_folder
from worker.recluster.lineage import Lineage
from worker.store.base import EventKind

_CONTEXT = "context"
_KINDS = tuple(EventKind)
_NONE = -1

NO_QUESTIONS: NDArray[np.int64] = np.empty((0, 2), np.int64)


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of one run over the first `n` rows.

    A cluster is written as its number, or, as long as the new ones have no number, as -(k+2)
    for the k-th new one: `resolve` turns that into numbers once they were given out.

    * `cluster` int32 [n], -1: dead row. `confidence` float32 [n], 0..1.
    * `clusters` int32 [c]: every cluster of the run; `exemplars` int64 [c]: its exemplar's row.
    * `retired`: live numbers in use no more, with successor. `revived`: retired numbers in use
      again. `events`: see `Lineage`.
    * `levels`: int32 [n] group of each row at every level of the hierarchy, finest first.
    * `corrections`: how many of the view's corrections hold; `contradicted`: the numbers of the
      others, which newer ones contradict.
    * `seconds` by stage. `expected_f`: the model's own estimate of its pairwise F, if any.
    * `method`: how the clusters were made, `reason` why so, `device` where; empty in results of
      versions that did not say.
    * `questions` int64 [m, 2]: pairs of rows that the run would like to know of, under
      `granularity`.
    * `context_path`: the clusterer's context file, if it wrote one.
    """

    generation: int
    n: int
    cluster: NDArray[np.int32]
    confidence: NDArray[np.float32]
    clusters: NDArray[np.int32]
    exemplars: NDArray[np.int64]
    retired: Mapping[int, int | None]
    revived: frozenset[int]
    events: Sequence[Lineage]
    levels: tuple[NDArray[np.int32], ...]
    drift: Drift
    verdict: Verdict
    seconds: Mapping[str, float]
    corrections: int = 0
    contradicted: tuple[int, ...] = ()
    expected_f: float | None = None
    method: str = ""
    reason: str = ""
    device: str = ""
    questions: NDArray[np.int64] = field(default_factory=NO_QUESTIONS.copy)
    granularity: str | None = None
    context_path: Path | None = None

    @property
    def new_clusters(self) -> int:
        """How many clusters have no number yet."""
        return int((self.clusters < _NONE).sum())


def resolve(cluster: NDArray[np.int32], numbers: Sequence[int]) -> NDArray[np.int32]:
    """Put `numbers[k]` in place of each -(k+2); -1 and numbers stay. Any shape."""
    if not len(numbers):
        return cluster
    given = np.asarray(numbers, np.int32)
    fresh = cluster < _NONE
    return np.where(fresh, given[np.where(fresh, -2 - cluster, 0)], cluster)


def write_result(
    directory: Path, result: RunResult, save_context: Attachment | None = None
) -> None:
    """Write `result` durably to the folder `directory`, there whole or not at all. Blocks.

    `save_context` is called with the path at which the clusterer's context is to be written;
    `result.context_path` is ignored. Raises `OSError`.
    """
    arrays: dict[str, NDArray[Any]] = {
        "cluster": result.cluster,
        "confidence": result.confidence,
        "clusters": result.clusters,
        "exemplars": result.exemplars,
        "questions": result.questions,
        **{f"level-{depth}": level for depth, level in enumerate(result.levels)},
        **_pack(result),
    }
    meta = {
        "generation": result.generation,
        "n": result.n,
        "levels": len(result.levels),
        "drift": asdict(result.drift),
        "verdict": asdict(result.verdict),
        "seconds": dict(result.seconds),
        "corrections": result.corrections,
        "contradicted": result.contradicted,
        "expected_f": result.expected_f,
        "method": result.method,
        "reason": result.reason,
        "device": result.device,
        "granularity": result.granularity,
    }
    attachments = {_CONTEXT: save_context} if save_context else {}
    write_folder(directory, arrays, meta, durable=True, attachments=attachments)


def read_result(directory: Path) -> RunResult:
    """Read a result and check all of it. Raises `CorruptError` naming the file."""
    folder = read_folder(directory)
    try:
        return _result(directory, folder)
    except (KeyError, TypeError, ValueError) as error:  # of a version without a checksum of these
        raise CorruptError(f"{directory / MANIFEST}: {error!r}") from error


def _result(directory: Path, folder: Folder) -> RunResult:
    arrays, meta = folder.arrays, folder.meta
    heirs = zip(arrays["retired"].tolist(), arrays["successor"].tolist(), strict=True)
    return RunResult(
        generation=meta["generation"],
        n=meta["n"],
        cluster=arrays["cluster"],
        confidence=arrays["confidence"],
        clusters=arrays["clusters"],
        exemplars=arrays["exemplars"],
        retired={number: None if heir == _NONE else heir for number, heir in heirs},
        revived=frozenset(arrays["revived"].tolist()),
        events=_PackedEvents(arrays["events"], arrays["others"]),
        levels=tuple(arrays[f"level-{depth}"] for depth in range(meta["levels"])),
        drift=Drift(**meta["drift"]),
        verdict=Verdict(meta["verdict"]["held"], tuple(meta["verdict"]["reasons"])),
        seconds=meta["seconds"],
        # A run that was held by a version without corrections has none.
        corrections=meta.get("corrections", 0),
        contradicted=tuple(meta.get("contradicted", ())),
        expected_f=meta["expected_f"],
        method=meta.get("method", ""),
        reason=meta.get("reason", ""),
        device=meta.get("device", ""),
        questions=arrays.get("questions", NO_QUESTIONS),
        granularity=meta.get("granularity"),
        context_path=next(directory.glob(f"{_CONTEXT}*"), None),
    )


def _pack(result: RunResult) -> dict[str, NDArray[Any]]:
    heirs = (_NONE if heir is None else heir for heir in result.retired.values())
    numbers = (
        (_KINDS.index(event.kind), event.cluster, event.before, event.images, len(event.others))
        for event in result.events
    )
    others = [other for event in result.events for other in event.others]
    return {
        "retired": np.array(list(result.retired), np.int32),
        "successor": np.array(list(heirs), np.int32),
        "revived": np.array(sorted(result.revived), np.int32),
        "events": np.array(list(numbers), np.int64).reshape(-1, 5),
        "others": np.array(others, np.int32),
    }


class _PackedEvents(Sequence[Lineage]):
    """The events of a stored result, each made when it is asked for: there can be very many."""

    def __init__(self, rows: NDArray[np.int64], others: NDArray[np.int32]) -> None:
        self._rows = rows
        self._others = others
        self._ends = np.cumsum(rows[:, -1])

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # as every mutable sequence

    @overload
    def __getitem__(self, index: int) -> Lineage: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Lineage]: ...

    def __getitem__(self, index: int | slice) -> Lineage | Sequence[Lineage]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        kind, cluster, before, images, length = self._rows[index].tolist()
        end = int(self._ends[index])
        others = tuple(self._others[end - length : end].tolist())
        return Lineage(_KINDS[kind], cluster, others, before, images)
