"""A worker that stands by: it follows the topic, and takes over when the other one's leases lapse.

While it stands by it goes through the steps 1 to 4 into its own data directory (`worker.role`), and
reads who holds the leases. Taking over is S1 wait, S2 catch up, S3 claim every lease, S4 inherit
what readers see (`worker.inherit`), S5 read again from the offsets that the other one committed, so
that dead letters that it did not send are sent. A kill between any two leaves a standby.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from index import reach_fault
from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.errors import LeaseError, RetryError
from worker.metrics import Metrics
from worker.positions import Positions
from worker.publish import Publisher
from worker.role import Role
from worker.sources.base import Source
from worker.store.base import Lease

log = structlog.get_logger()

# Shares of a lease: how often it is looked at, and how long it must have been free. A worker whose
# Redis lost everything takes its leases again within a third.
_LOOK_RATIO = 1 / 10
_FREE_RATIO = 1 / 2

_RETRY_SECONDS = 1.0


class Standby:
    """Watches the leases of the collections in the data directory; owned by the ingest thread.

    `reserved` is a collection that the other worker holds even where it does not exist yet.
    """

    def __init__(
        self,
        role: Role,
        collections: Collections,
        publisher: Publisher,
        source: Source,
        positions: Positions,
        metrics: Metrics,
        clock: Clock,
        lease_seconds: float,
        reserved: str | None,
    ) -> None:
        self._role = role
        self._collections = collections
        self._publisher = publisher
        self._source = source
        self._positions = positions
        self._metrics = metrics
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._reserved = [] if reserved is None else [reserved]
        self._look_at = 0.0
        self._held = ""  # a collection whose lease was another's
        self._free_since: float | None = None
        self._claimed: dict[str, Lease] = {}  # by the take-over that is under way, and not taken
        self._keep_at = 0.0
        self._ends: Mapping[str, int] = {}
        metrics.standby.set(role.standing_by)

    def begin(self, meanwhile: Callable[[], bool]) -> None:
        """Find out whether to stand by: a worker that held the leases last, and nobody since,
        serves at once, unless it was killed in the middle of its take-over.

        Blocks until the store says so, or until `meanwhile` gives it up.
        """
        while self._role.standing_by and meanwhile():
            try:
                self._look_who_served()
            except RetryError as error:
                log.warning("who serves is not known", error=str(error))
                self._clock.sleep(_RETRY_SECONDS)
            else:
                return

    def _look_who_served(self) -> None:
        holders = [self._publisher.holders(name) for name in self._names()]
        ours = self._publisher.holder
        if any(last == ours for _, last in holders) and not self._collections.follow():
            self._set(not all(holder in {None, ours} for holder, _ in holders))

    def due(self) -> bool:
        """S1 and S2: whether nobody has held a lease for a while, and all is read that had been
        sent by then.
        """
        now = self._clock.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + self._lease_seconds * _LOOK_RATIO
        self._tell()
        if not self._free():
            self._free_since = None
            return False
        if self._free_since is None:
            self._free_since = now
            log.warning("nobody holds the leases")
        if now - self._free_since < self._lease_seconds * _FREE_RATIO:
            lag = self._source.lag()
            self._ends = {p: self._positions.next.get(p, 0) + n for p, n in lag.items()}
            return False
        return all(self._positions.next.get(p, 0) >= end for p, end in self._ends.items())

    def take_over(self, note: Callable[[Collection], object]) -> bool:
        """S3 to S5; False if the store or the source is away or another worker was faster.

        `note` hears of each collection once it is taken, and may close others. No batch may be
        under way. Afterwards the source is to be opened again.
        """
        try:
            committed = self._source.committed()
            self._collections.let_go()  # of what one that was cut short had taken
            leases = self._claim()
            self._claimed = dict(leases)
            for name, lease in leases.items():
                reach_fault("S4")
                taken = self._collections.take_over(name, lease)
                del self._claimed[name]
                if taken is not None:
                    note(taken)
                self._keep()
        except (LeaseError, RetryError) as error:
            log.warning("not taken over", error=str(error))
            self._free_since = None
            return False
        finally:
            self._claimed = {}
        next_ = self._positions.next
        back = {p: at for p, at in committed.items() if at < next_.get(p, 0)}
        self._positions.advance(back, self._source.origin)
        self._set(False)
        log.warning("took over", collections=len(leases))
        return True

    def _tell(self) -> None:
        """Be seen in the status of the collections that are open."""
        lag = sum(self._source.lag().values())
        with suppress(RetryError):
            for collection in self._collections:
                self._publisher.stand_by(collection.name, lag)

    def _set(self, standing_by: bool) -> None:
        self._role.standing_by = standing_by
        self._metrics.standby.set(standing_by)

    def _names(self) -> list[str]:
        return sorted({*self._collections.stored(), *self._reserved})

    def _free(self) -> bool:
        """Whether no lease is another's; False if the store does not say."""
        names = sorted(self._names(), key=lambda name: name != self._held)  # first as last time
        try:
            for name in names:
                holder, _ = self._publisher.holders(name)
                if holder not in {None, self._publisher.holder}:
                    self._held = name
                    return False
        except RetryError:
            return False
        return bool(names)

    def _claim(self) -> dict[str, Lease]:
        """S3: the leases of all collections, or of none."""
        leases: dict[str, Lease] = {}
        try:
            for name in self._names():
                leases[name] = self._publisher.claim(name)
        except (LeaseError, RetryError):
            for lease in leases.values():
                self._publisher.give_back(lease)
            raise
        return leases

    def keep_claims(self) -> None:
        """Keep what a take-over has claimed, while a collection is opened; what it lost it is told
        after that.
        """
        if self._claimed:
            with suppress(LeaseError, RetryError):
                self._keep()

    def _keep(self) -> None:
        now = self._clock.monotonic()
        if now < self._keep_at:
            return
        self._keep_at = now + self._lease_seconds * _LOOK_RATIO
        for lease in [*self._claimed.values(), *self._collections.leases]:
            self._publisher.extend(lease)
