"""Reclustering without a child process."""

from pathlib import Path

from worker.recluster.child import run
from worker.recluster.clusterer import Clusterer
from worker.recluster.supervisor import Failed, Finished, Running


class InlineRunner:
    """The `Runner` that clusters within `start`; `poll` then tells how it ended.

    With `holding` set, `poll` says that the run still goes on.
    """

    def __init__(self, cluster: Clusterer) -> None:
        self._cluster = cluster
        self._ended: Finished | Failed | None = None
        self.holding = False

    def start(self, view: Path, result: Path) -> None:
        """See `Runner.start`; blocks."""
        try:
            run(view, result, self._cluster, lambda _stage, _progress: None)
        except Exception as error:  # noqa: BLE001  whatever it is, it is how the run ended
            self._ended = Failed(str(error))
        else:
            self._ended = Finished(result)

    def poll(self) -> Running | Finished | Failed | None:
        """See `Runner.poll`."""
        if self.holding and self._ended is not None:
            return Running("held", 0.5)
        ended, self._ended = self._ended, None
        return ended

    def give_way(self, *, behind: bool) -> None:
        """See `Runner.give_way`; there is nothing to stop."""

    def cancel(self) -> None:
        """See `Runner.cancel`."""
        self._ended = None
