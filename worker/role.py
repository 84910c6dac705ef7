"""Whether a worker serves, or stands by for the one that does."""

from dataclasses import dataclass


@dataclass(slots=True)
class Role:
    """What the parts of one worker ask before they write to anything that others see.

    A worker that stands by takes no lease, publishes nothing, sends no dead letters, commits no
    offsets, and gives no cluster. Only `worker.standby` changes it.
    """

    standing_by: bool = False
