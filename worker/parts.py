"""What a worker is made of, and how it is put away."""

from dataclasses import dataclass

import structlog

from worker.answering import Answering
from worker.backup.schedule import Backups
from worker.blocking import Blocking
from worker.clock import Clock
from worker.collections import Collections
from worker.compacting import Compacting
from worker.evictions import Evictions
from worker.ingest import Ingest
from worker.leases import Leases
from worker.lock import DirectoryLock
from worker.metrics import Metrics
from worker.migrating import Migrating
from worker.outage import Outage
from worker.pause import Pause
from worker.positions import Positions
from worker.publishing import Publishing
from worker.purging import Purging
from worker.recall import RecallWatch
from worker.reclustering import Reclustering
from worker.role import Role
from worker.run_queue import RunQueue
from worker.scrub import ScrubWatch
from worker.settings import Settings
from worker.sources.base import Source
from worker.standby import Standby
from worker.status import StatusBoard
from worker.takeover import Takeover

log = structlog.get_logger()


@dataclass(frozen=True)
class Parts:
    """The parts of one worker, all of one thread. Made by `worker.compose.make_parts`."""

    settings: Settings
    source: Source
    ingest: Ingest
    publishing: Publishing
    collections: Collections
    leases: Leases
    blocking: Blocking
    evictions: Evictions
    queue: RunQueue
    takeover: Takeover
    migrating: Migrating
    reclustering: Reclustering
    answering: Answering
    purging: Purging
    compacting: Compacting
    recall: RecallWatch
    scrub: ScrubWatch
    backups: Backups
    board: StatusBoard
    standby: Standby
    role: Role
    positions: Positions
    pause: Pause
    outage: Outage
    lock: DirectoryLock
    metrics: Metrics
    clock: Clock

    def close(self) -> None:
        """Publish what waits, take snapshots, give up the leases, and close everything."""
        self.backups.cancel()
        self.reclustering.cancel()
        self.ingest.settle()
        self.publishing.publish_all()
        self.board.show(at_once=True)
        for collection in self.collections:
            self.collections.close(collection)
        self._release()

    def abandon(self) -> None:
        """Close everything after an error: what is in memory is not trusted, and not kept."""
        self.backups.cancel()
        self.reclustering.cancel()
        for collection in self.collections:
            self.collections.abandon(collection)
        self._release()

    def _release(self) -> None:
        self.collections.release_reserved()
        self.source.close()
        self.positions.close()
        self.lock.close()
        log.info("stopped")
