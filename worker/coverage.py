"""How much of a collection its second index has, counted once and then from batch to batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from index import ImageWrite, Outcome, count_shared
from worker.blocking import Blocking
from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.migration import first_of, second_of

# Images are counted again when as much time has passed as this many counts take.
_REST_FACTOR = 20.0


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many images the first index has, how many the second, and how many both.

    `mark` is how many were ever added to and erased from each that is open: equal marks, equal
    images. Empty: the images are others since they were counted.
    """

    first: int
    second: int
    shared: int
    mark: tuple[int, ...]

    @property
    def missing(self) -> int:
        """Images that the second index lacks."""
        return self.first - self.shared


def changes(writes: Iterable[ImageWrite]) -> tuple[set[str], set[str]]:
    """The images that are in an index since these writes, and those that are not any more."""
    before: dict[str, bool] = {}
    after: dict[str, bool] = {}
    for write in writes:
        before.setdefault(write.id, write.outcome not in {Outcome.ADDED, Outcome.ABSENT})
        after[write.id] = write.row is not None
    gained = {image for image, there in after.items() if there and not before[image]}
    lost = {image for image, there in after.items() if not there and before[image]}
    return gained, lost


class Coverages:
    """The coverage of every migration that is followed; owned by the ingest thread."""

    def __init__(self, collections: Collections, blocking: Blocking, clock: Clock) -> None:
        self._collections = collections
        self._blocking = blocking
        self._clock = clock
        self._known: dict[str, Coverage] = {}
        self._count_at: dict[str, float] = {}

    def shown(self, first: Collection) -> Coverage | None:
        """What its second index has, as it was last counted; None while there is none."""
        return self._known.get(first.name)

    def of(self, first: Collection, *, at_once: bool = False) -> Coverage | None:
        """The coverage; where it is not known of the images of now they are counted, now and then
        or `at_once`. None where it is not known.
        """
        here = self._collections.path_of(first.name)
        there = self._collections.path_of(second_of(first.name))
        if not there.is_dir():
            self._known.pop(first.name, None)
            return None
        mark = _mark(first, self._collections.opened(there.name))
        known = self._known.get(first.name)
        if known is not None and known.mark == mark:
            return known
        began = self._clock.monotonic()
        if not at_once and began < self._count_at.get(first.name, began):
            return None
        counted = self._blocking.run(lambda: count_shared(here, there))
        known = self._known[first.name] = Coverage(*counted, mark)
        ended = self._clock.monotonic()
        self._count_at[first.name] = ended + _REST_FACTOR * (ended - began)
        return known

    def on_disk(self, name: str) -> Coverage | None:
        """As `of`, of a collection that is closed."""
        here, there = (self._collections.path_of(n) for n in (name, second_of(name)))
        if not (here.is_dir() and there.is_dir()):
            return None
        return Coverage(*self._blocking.run(lambda: count_shared(here, there)), ())

    def saw(self, collection: Collection, writes: Sequence[ImageWrite]) -> None:
        """What `collection` logged just now: the images of both indexes are counted on."""
        name = first_of(collection.name)
        known = self._known.get(name)
        if known is not None:
            self._known[name] = self._counted(known, collection, writes)

    def _counted(
        self, known: Coverage, collection: Collection, writes: Sequence[ImageWrite]
    ) -> Coverage:
        """As it is known, with these writes; without a mark where that cannot be told from them."""
        name = first_of(collection.name)
        first, second = self._collections.opened(name), self._collections.opened(second_of(name))
        unknown = replace(known, mark=())
        if first is None or second is None:
            return unknown
        gained, lost = changes(writes)
        other = second if collection is first else first
        grown = len(gained) - len(lost)
        outcomes = [write.outcome for write in writes]
        more = (outcomes.count(Outcome.ADDED), outcomes.count(Outcome.ERASED))
        marks = (*more, 0, 0) if collection is first else (0, 0, *more)
        counted = Coverage(
            known.first + (grown if collection is first else 0),
            known.second + (grown if collection is second else 0),
            known.shared + _there(other, gained) - _there(other, lost),
            tuple(a + b for a, b in zip(known.mark, marks, strict=False)),
        )
        return counted if counted.mark == _mark(first, second) else unknown

    def forget(self, name: str) -> None:
        """A collection has no second index any more, or another one."""
        self._known.pop(name, None)
        self._count_at.pop(name, None)


def _mark(first: Collection, second: Collection | None) -> tuple[int, ...]:
    states = [first.state] if second is None else [first.state, second.state]
    return tuple(number for state in states for number in (state.added, state.erased))


def _there(collection: Collection, images: Iterable[str]) -> int:
    """How many of the images a collection has."""
    return sum(row is not None for row in collection.index.row_of(list(images)))
