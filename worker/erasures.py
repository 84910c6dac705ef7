"""Erased and replaced images of which traces may be left, until purges have made an end of them."""

import sqlite3
from collections.abc import Iterable, Sequence

Entry = tuple[str | None, float]


def erasures_of(images: Iterable[str], replaced: int, at: float) -> list[Entry]:
    """The entries for `images` that were erased at a time, and for so many vectors that went
    because their images got others.
    """
    return [*((image, at) for image in images), *[(None, at)] * replaced]


class Erasures:
    """The table `erasure` of the catalog: one entry for each image that was erased, with its id,
    and for each whose vector went because it got another, without. `copies` says that copies may be
    left; where they are gone only events name the image still. Changes are made within the caller's
    transaction; one that fails leaves the process unusable (it is fatal).

    `waiting` is their number, `oldest` the time of the first (seconds since 1970; None: there is
    none), `oldest_copies` that of the first with copies, `last` the greatest number given out.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.waiting = 0
        self.oldest: float | None = None
        self.oldest_copies: float | None = None
        self.last = 0
        self._count(connection)

    def write(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
        """Store entries; `take` is to follow once that is committed."""
        connection.executemany("INSERT INTO erasure (image, at) VALUES (?, ?)", entries)

    def take(self, entries: Sequence[Entry]) -> None:
        """Count entries that were stored."""
        if entries:
            _, at = entries[0]
            self.waiting += len(entries)
            self.oldest = at if self.oldest is None else self.oldest
            self.oldest_copies = at if self.oldest_copies is None else self.oldest_copies
            self.last += len(entries)  # SQLite numbers from the greatest there is

    def images(self, connection: sqlite3.Connection, until: float) -> frozenset[str]:
        """The ids of the entries up to a time."""
        query = "SELECT image FROM erasure WHERE at <= ? AND image IS NOT NULL"
        return frozenset(image for (image,) in connection.execute(query, (until,)))

    def images_upto(self, connection: sqlite3.Connection, number: int) -> frozenset[str]:
        """The ids of the entries up to a number."""
        query = "SELECT image FROM erasure WHERE number <= ? AND image IS NOT NULL"
        return frozenset(image for (image,) in connection.execute(query, (number,)))

    def forget_images(self, connection: sqlite3.Connection, until: float) -> None:
        """Forget the ids of the entries up to a time, which go on waiting."""
        connection.execute("UPDATE erasure SET image = NULL WHERE at <= ?", (until,))

    def copies_gone(self, connection: sqlite3.Connection, upto: int) -> None:
        """No copies are left of the entries up to a number."""
        connection.execute("UPDATE erasure SET copies = 0 WHERE number <= ?", (upto,))
        self._count(connection)

    def done(self, connection: sqlite3.Connection) -> None:
        """The entries without copies and without an id wait no more."""
        connection.execute("DELETE FROM erasure WHERE copies = 0 AND image IS NULL")
        self._count(connection)

    def _count(self, connection: sqlite3.Connection) -> None:
        self.waiting, self.oldest, last = connection.execute(
            "SELECT count(*), min(at), max(number) FROM erasure"
        ).fetchone()
        query = "SELECT min(at) FROM erasure WHERE copies"
        [self.oldest_copies] = connection.execute(query).fetchone()
        self.last = last or 0
