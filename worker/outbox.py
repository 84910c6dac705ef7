"""What readers do not see yet: images, clusters and events still to be published."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from itertools import islice

from worker.store.base import Event, EventKind
from worker.store.codec import names


class Outbox:
    """Mirrors the outbox tables of the catalog; changes are made within the caller's transaction.

    `images` maps an image id to the number of the cluster under which readers see it (None: they
    do not see it). The first entry of an image stands until it is published.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.images: dict[str, int | None] = dict(
            connection.execute("SELECT image, old FROM outbox")
        )
        self.clusters: set[int] = {n for (n,) in connection.execute("SELECT * FROM cluster_outbox")}
        self.events: list[tuple[int, Event]] = [
            (sequence, Event(EventKind(kind), json.loads(data)))
            for sequence, kind, data in connection.execute(
                "SELECT sequence, kind, data FROM event_outbox ORDER BY sequence"
            )
        ]
        self._next_event = self.events[-1][0] + 1 if self.events else 1

    def __len__(self) -> int:
        return len(self.images)

    def __bool__(self) -> bool:
        return bool(self.images or self.clusters or self.events)

    def add_images(
        self, connection: sqlite3.Connection, entries: Iterable[tuple[str, int | None]]
    ) -> None:
        """Note that images changed; `entries` are (id, number of the cluster readers see)."""
        fresh = self.fresh(entries)
        self.write_images(connection, fresh)
        self.images |= fresh

    def fresh(self, entries: Iterable[tuple[str, int | None]]) -> dict[str, int | None]:
        """The first entry of each image that is not in `images` yet."""
        fresh: dict[str, int | None] = {}
        for image, old in entries:
            if image not in self.images:
                fresh.setdefault(image, old)
        return fresh

    def write_images(
        self, connection: sqlite3.Connection, entries: Mapping[str, int | None]
    ) -> None:
        """Store entries; `images` is to follow once that is committed."""
        connection.executemany("INSERT OR IGNORE INTO outbox VALUES (?, ?)", entries.items())

    def add_clusters(self, connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
        """Note that clusters were made, renamed, retired or revived."""
        fresh = set(numbers) - self.clusters
        self.write_clusters(connection, fresh)
        self.clusters |= fresh

    def write_clusters(self, connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
        """Store numbers; `clusters` is to follow once that is committed."""
        connection.executemany(
            "INSERT OR IGNORE INTO cluster_outbox VALUES (?)", [(number,) for number in numbers]
        )

    def add_events(self, connection: sqlite3.Connection, events: Iterable[Event]) -> None:
        """Note that things happened."""
        events = list(events)
        start = self._next_event
        self._next_event += len(events)
        numbered = list(zip(range(start, self._next_event), events, strict=True))
        connection.executemany(
            "INSERT INTO event_outbox VALUES (?, ?, ?)",
            [(sequence, event.kind, json.dumps(dict(event.data))) for sequence, event in numbered],
        )
        self.events += numbered

    def tells_of(self, images: Collection[str]) -> bool:
        """Whether an event that waits names one of these images."""
        return any(names(event.data, images) for _, event in self.events)

    def first_images(self, count: int) -> list[str]:
        """The oldest `count` images."""
        return list(islice(self.images, count))

    def done(
        self,
        connection: sqlite3.Connection,
        images: Iterable[str],
        clusters: Iterable[int],
        events: Iterable[int],
    ) -> None:
        """Forget entries: they are published. `events` are the oldest ones."""
        images, clusters, events = list(images), list(clusters), list(events)
        connection.executemany("DELETE FROM outbox WHERE image = ?", [(i,) for i in images])
        connection.executemany(
            "DELETE FROM cluster_outbox WHERE number = ?", [(n,) for n in clusters]
        )
        connection.executemany(
            "DELETE FROM event_outbox WHERE sequence = ?", [(e,) for e in events]
        )
        for image in images:
            self.images.pop(image, None)
        self.clusters.difference_update(clusters)
        del self.events[: len(events)]
