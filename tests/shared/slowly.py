"""A step of a worker that takes longer than a lease, and what was seen of the worker meanwhile."""

import time
from pkgutil import resolve_name


class Slowly:
    """Twice as long as a lease, each time from now on."""

    def __init__(self, monkeypatch, bench, worker, path, meanwhile=lambda: None):
        """`path` is where the step is found by name; `meanwhile` is called now and then."""
        self._bench, self._worker, self._meanwhile = bench, worker, meanwhile
        self._step = resolve_name(path)
        self.held, self.silent = [], []
        monkeypatch.setattr(path, self._slowly)
        monkeypatch.setattr("worker.blocking._MEANWHILE_SECONDS", 0.001)

    def _slowly(self, *words, **options):
        for _ in range(6):
            self._bench.clock.advance(5.0)
            self._wait_for_the_lease()
            self._meanwhile()
            self.held.append(self._bench.store.holders("main")[0])
            self.silent.append(self._worker._silent_seconds)
        return self._step(*words, **options)

    def _wait_for_the_lease(self):
        kept = self._bench.store._collections["main"]
        until = time.monotonic() + 0.5
        while kept.expires - self._bench.clock.monotonic() < 12.0 and time.monotonic() < until:
            time.sleep(0.005)

    def assert_seen(self):
        """The step came, and the worker held its lease and was alive all the while."""
        assert self.held
        assert None not in self.held
        assert len(set(self.held)) == 1
        assert max(self.silent) <= 10.0
