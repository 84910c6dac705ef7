"""The worker keeps its leases for as long as it lives."""

from contextlib import suppress

import structlog

from worker.clock import Clock
from worker.collections import Collections
from worker.errors import LeaseLapsedError, RetryError
from worker.metrics import Metrics
from worker.publish import Publisher
from worker.role import Role

log = structlog.get_logger()

# Leases are renewed at this share of their term.
_RENEW_RATIO = 1 / 3


class Leases:
    """The leases of all collections, open or reserved, each for `seconds`."""

    def __init__(
        self,
        collections: Collections,
        publisher: Publisher,
        metrics: Metrics,
        clock: Clock,
        seconds: float,
        role: Role,
    ) -> None:
        self._role = role
        self._collections = collections
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._seconds = seconds
        self._renew_at = 0.0
        self._extend_at = 0.0

    def keep(self) -> None:
        """Renew them if it is time. Raises `LeaseError` if another worker has one."""
        now = self._clock.monotonic()
        if now < self._renew_at or self._role.standing_by:
            return
        self._renew_at = now + self._seconds * _RENEW_RATIO
        try:
            self._collections.renew_reserved()
            for collection in self._collections.serving:
                self._publisher.renew(collection)
        except RetryError as error:
            self._metrics.store_errors.inc()
            log.warning("leases not renewed", error=str(error))

    def extend(self) -> None:
        """Renew those that are held, if it is time, and take none again: while the catalog of a
        collection cannot be written, or is not open. Raises `LeaseError` if another worker has one.
        """
        now = self._clock.monotonic()
        if now < self._extend_at or self._role.standing_by:
            return
        self._extend_at = now + self._seconds * _RENEW_RATIO
        with suppress(RetryError):
            for lease in self._collections.leases:
                with suppress(LeaseLapsedError):
                    self._publisher.extend(lease)
