"""What people said of images and clusters, in the catalog: records that outlive every run."""

import sqlite3
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum


class CorrectionKind(StrEnum):
    """`same`: two images are of one cluster. `apart`: they are not. `belongs`: an image is of a
    cluster.
    """

    SAME = "same"
    APART = "apart"
    BELONGS = "belongs"


KINDS = tuple(CorrectionKind)


@dataclass(frozen=True, slots=True)
class Correction:
    """One correction. `number` is never given out again; `at` is in seconds since 1970.

    `other` is the second image of a pair; `cluster` the number of the cluster that an image
    belongs to, which stands for its successor once it is retired.
    """

    number: int
    kind: CorrectionKind
    image: str
    other: str | None
    cluster: int | None
    at: float

    @property
    def about(self) -> tuple[bool, frozenset[str]]:
        """Corrections that are about the same take each other's place."""
        return self.cluster is None, frozenset({self.image, self.other or self.image})


class Corrections:
    """The corrections of one collection, oldest first, mirrored in memory. Changes are made within
    the caller's transaction; after one that fails the collection is to be opened again.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._records = [
            Correction(number, CorrectionKind(kind), image, other, cluster, at)
            for number, kind, image, other, cluster, at in connection.execute(
                "SELECT number, kind, image, other, cluster, at FROM correction ORDER BY number"
            )
        ]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Correction]:
        return iter(self._records)

    def add(
        self,
        connection: sqlite3.Connection,
        kind: CorrectionKind,
        image: str,
        *,
        other: str | None = None,
        cluster: int | None = None,
        at: float,
    ) -> Correction:
        """Record a correction, in the place of any about the same two images, or the same image's
        cluster. Said again at once it is the same record.
        """
        said = Correction(0, kind, image, other, cluster, at)
        last = self._records[-1] if self._records else None
        if last and (last.kind, last.about, last.cluster) == (kind, said.about, cluster):
            return last
        for old in [record for record in self._records if record.about == said.about]:
            self.remove(connection, old)
        cursor = connection.execute(
            "INSERT INTO correction (kind, image, other, cluster, at) VALUES (?, ?, ?, ?, ?)",
            (kind, image, other, cluster, at),
        )
        record = Correction(int(cursor.lastrowid or 0), kind, image, other, cluster, at)
        self._records.append(record)
        return record

    def remove(self, connection: sqlite3.Connection, record: Correction) -> None:
        """Take one back."""
        self.delete(connection, [record])
        self.drop([record])

    def of(self, images: AbstractSet[str]) -> list[Correction]:
        """The corrections that name one of `images`."""
        return [r for r in self._records if images & {r.image, r.other}] if images else []

    def delete(self, connection: sqlite3.Connection, records: Iterable[Correction]) -> None:
        """Take some back on the disk; `drop` is to follow once that is committed."""
        connection.executemany(
            "DELETE FROM correction WHERE number = ?", [(record.number,) for record in records]
        )

    def drop(self, records: Iterable[Correction]) -> None:
        """Take some back in memory."""
        for record in records:
            self._records.remove(record)

    @property
    def images(self) -> frozenset[str]:
        """Every image that a correction names."""
        return frozenset(i for r in self._records for i in (r.image, r.other) if i is not None)
