"""All files of the open collections are read again, over and over, and compared with their sums.

A round takes each collection in turn, then the positions, and lasts `seconds`; or longer, where the
share of time that it may take is not enough for the disk.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from index import Finding, Harm, Part, error_text
from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.errors import CorruptError
from worker.metrics import DAMAGES, Metrics
from worker.positions import Positions
from worker.recluster import generations
from worker.share import Share

log = structlog.get_logger()

Hear = Callable[[Finding], object]

# Share of the ingest thread's time that it takes.
_SHARE = 0.01

# The most that is taken between two batches: a slice or two of a slow disk.
_MOST_SECONDS = 0.01

# Stands for the positions among the names of collections, none of which is empty.
_POSITIONS = ""


@dataclass(slots=True)
class _Pass:
    """One pass over the files of `name`: `bytes` of them, to be read within `seconds`."""

    name: str
    collection: Collection | None
    bytes: int
    seconds: float
    began: float
    slices: Iterator[int]
    read: int = 0
    found: dict[Path, Finding] = field(default_factory=dict)

    def due(self, now: float) -> bool:
        """Whether less was read than should have been by now."""
        return now - self.began > self.seconds * min(1.0, self.read / self.bytes)


class ScrubWatch:
    """Owned by the ingest thread; any thread may ask for `damage`.

    What was found wrong counts until the file is read again and is right, or is gone.
    """

    def __init__(
        self,
        collections: Collections,
        positions: Positions,
        metrics: Metrics,
        clock: Clock,
        seconds: float,
    ) -> None:
        self._collections = collections
        self._positions = positions
        self._metrics = metrics
        self._clock = clock
        self._seconds = seconds
        self._share = Share(clock, _SHARE, _MOST_SECONDS)
        self._waiting: list[tuple[str, float]] = []  # names, and the time that each has
        self._pass: _Pass | None = None
        self._damaged: dict[str, dict[Path, Finding]] = {}
        self._damage: str | None = None

    @property
    def damage(self) -> str | None:
        """What is damaged of that which cannot be made again, None if nothing is known to be."""
        return self._damage

    def tick(self) -> None:
        """Read on for as long as is due."""
        self._share.spend(self._go_on)

    def _go_on(self) -> bool:
        """One slice; True when nothing is due."""
        now = self._clock.monotonic()
        if self._pass is not None and self._pass.collection and self._pass.collection.closed:
            self._pass = None  # the next opening verifies all of it
        if self._pass is None:
            self._pass = self._next(now)
        if not self._pass.due(now):
            return True
        read = next(self._pass.slices, None)
        if read is None:
            self._end(self._pass)
        else:
            self._pass.read += read
            self._metrics.scrubbed.inc(read)
        return False

    def _next(self, now: float) -> _Pass:
        while True:
            if not self._waiting:
                self._waiting = self._round()
            name, seconds = self._waiting.pop(0)
            if name == _POSITIONS:
                return self._begin(name, None, seconds, now)
            collection = self._collections.opened(name)
            if collection is not None:
                return self._begin(name, collection, seconds, now)

    def _round(self) -> list[tuple[str, float]]:
        """All that is open now, by name, and of the time each a part by its rows."""
        rows = {collection.name: collection.index.rows + 1 for collection in self._collections}
        names = [*sorted(rows), _POSITIONS]
        for name in self._damaged.keys() - set(names):  # closed: opening it verifies all of it
            del self._damaged[name]
        self._show()
        every = self._seconds / (sum(rows.values()) + 1)
        return [(name, every * rows.get(name, 1)) for name in names]

    def _begin(self, name: str, collection: Collection | None, seconds: float, now: float) -> _Pass:
        found: dict[Path, Finding] = {}

        def hear(finding: Finding) -> None:
            self._hear(name, found, finding)

        if collection is None:
            size, slices = 1, self._positions.scrub(hear)  # some pages
        else:
            size, slices = _size(collection.index.directory), _slices(collection, hear)
        return _Pass(name, collection, size, seconds, now, slices, found=found)

    def _hear(self, name: str, found: dict[Path, Finding], finding: Finding) -> None:
        if finding.path in found:
            return  # one line for a file, however much of it is damaged
        found[finding.path] = finding
        known = self._damaged.setdefault(name, {})
        if finding.path not in known:
            log.error("damage found", file=str(finding.path), what=finding.what, harm=finding.harm)
        known[finding.path] = finding
        self._show()

    def _end(self, ended: _Pass) -> None:
        self._pass = None
        for path in self._damaged.pop(ended.name, {}).keys() - ended.found.keys():
            log.info("damaged no more", file=str(path))
        if ended.found:
            self._damaged[ended.name] = ended.found
        self._show()
        if ended.name == _POSITIONS:
            self._metrics.last_scrub.set(self._clock.time())

    def _show(self) -> None:
        known = [finding for of in self._damaged.values() for finding in of.values()]
        for harm in DAMAGES:
            self._metrics.damaged_files.labels(harm).set(sum(f.harm == harm for f in known))
        data = [f"{finding.path}: {finding.what}" for finding in known if finding.harm == Harm.DATA]
        self._damage = f"damaged: {'; '.join(data)}" if data else None


def _slices(collection: Collection, hear: Hear) -> Iterator[int]:
    yield from collection.index.scrub(hear)
    directory = collection.index.directory
    for number in generations.numbers(directory):
        path = generations.path_of(directory, number)
        try:
            yield from generations.scrub(directory, number)
        except (CorruptError, OSError) as error:
            if path.exists():  # otherwise a newer run took its place meanwhile
                spared = number != collection.state.adopting
                harm = Harm.SPARE if spared else Harm.DATA
                hear(Finding(Part.GENERATION, harm, path, error_text(error)))


def _size(directory: Path) -> int:
    """Bytes of all files of a collection, about: some may go while they are counted."""
    size = 1
    with suppress(OSError):
        for path in directory.rglob("*"):
            size += path.stat().st_size
    return size
