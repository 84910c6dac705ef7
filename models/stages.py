"""The stages of a run: how long each took, and how far the run is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from models.graph import Progress


class Stages:
    """Times the stages of a run and says when each begins."""

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self.report = progress or (lambda _stage, _share: None)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside."""
        self.report(name, 0.0)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start
