"""Whether backups can be written, and when the last whole one was taken."""

import time
from collections.abc import Iterator

from worker.backup.kept import look
from worker.backup.take import worker_target
from worker.doctor.check import Check, mend, ok, warn
from worker.errors import ShoalError
from worker.settings import Settings

_PROBE = "doctor"
_BACKUPS_MISSED = 3


def check_target(settings: Settings) -> Iterator[Check]:
    """Writes a file to the target, and removes it."""
    if settings.backup_url is None:
        yield warn("backups", "none are taken", "set SHOAL_BACKUP_URL")
        return
    try:
        target = worker_target(settings.backup_url, settings.worker_ordinal)
        target.write(_PROBE, b"")
        target.remove(_PROBE)
        kept = look(target)
    except (OSError, ShoalError) as error:
        yield mend("backups", str(error), "SHOAL_BACKUP_URL, and the rights of the worker there")
        return
    begun = max((found.begun for found in kept.whole.values()), default=None)
    yield newest(begun, time.time(), settings.backup_seconds)
    if kept.damaged:
        yield warn("damaged backups", ", ".join(kept.damaged), "shoal backups says what they lack")


def newest(begun: float | None, now: float, every: float) -> Check:
    """Whether one was taken in time."""
    if begun is None:
        return warn("backups", "none yet", "a worker takes the first when it serves")
    found = f"the newest whole one is {(now - begun) / 60:.0f} minutes old"
    if now - begun > _BACKUPS_MISSED * every:
        return mend("backups", found, "see the worker's log: no backup")
    return ok("backups", found)
