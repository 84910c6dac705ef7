"""Questions: the pairs of images whose answers would tell the model most, and what people answered.

A run picks them (R2), people answer them (`shoal ask`), and later runs cut their hierarchy so that
it agrees. An answer says how coarse clusters are and binds no image: what must hold of two images
is a correction. Answers count under the granularity under which the question was asked.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from worker.errors import SayingError

if TYPE_CHECKING:
    from worker.collection import Collection
    from worker.recluster.result import RunResult

Facts = NDArray[np.int64]
"""Rows [m, 3]: two rows, and 1 if their images are of one group, else 0."""

NO_FACTS: Facts = np.empty((0, 3), np.int64)

ANSWERS = {"yes": 1, "no": 0}


def pose(collection: "Collection", connection: sqlite3.Connection, result: "RunResult") -> None:
    """Ask what the run `result` asks, in the place of what nobody answered, within the caller's
    transaction. Pairs that were answered are not asked again, nor those of dead rows.
    """
    connection.execute("DELETE FROM question WHERE same IS NULL")
    images = collection.index.ids_of(result.questions.ravel().tolist())
    pairs = zip(images[::2], images[1::2], strict=True)
    connection.executemany(
        "INSERT OR IGNORE INTO question (word, image, other) VALUES (?, ?, ?)",
        [(result.granularity or "", *sorted((a[0], b[0]))) for a, b in pairs if a and b],
    )


def listed(collection: "Collection") -> str:
    """The open questions, those that tell most first, as a JSON list of objects."""
    with collection.index.transaction(durable=False) as connection:
        found = connection.execute(
            "SELECT q.image, a.uri, q.other, b.uri FROM question q"
            " JOIN image a ON a.id = q.image JOIN image b ON b.id = q.other"
            " WHERE q.same IS NULL ORDER BY q.number"
        ).fetchall()
    names = ("image", "image_uri", "other", "other_uri")
    return json.dumps([dict(zip(names, row, strict=True)) for row in found])


def answer(collection: "Collection", words: Sequence[str]) -> str:
    """Take answers: image, other, and yes or no in turn; all of them or, if one is wrong, none.

    Durable when it returns. An answer takes the place of the one before. What to tell the person.
    Raises `SayingError`.
    """
    if not words or len(words) % 3:
        raise SayingError(f"answer takes image, other, and yes or no, not {len(words)} words")
    answers = list(zip(words[::3], words[1::3], words[2::3], strict=True))
    with collection.index.transaction(durable=True) as connection:
        for image, other, word in answers:
            if word not in ANSWERS:
                raise SayingError(f"answer {word!r}: must be yes or no")
            changed = connection.execute(
                "UPDATE question SET same = ? WHERE image = ? AND other = ?",
                (ANSWERS[word], *sorted((image, other))),
            )
            if not changed.rowcount:
                raise SayingError(
                    f"nobody asked about {image!r} and {other!r}; see shoal ask, and for a pair of"
                    " your own shoal same and shoal apart"
                )
        known = _count(connection)
    return f"took {len(answers):,} answers, {known:,} in all; the next run heeds them"


def forget(collection: "Collection") -> str:
    """Take back all answers, durably; what to tell the person."""
    with collection.index.transaction(durable=True) as connection:
        known = _count(connection)
        connection.execute("UPDATE question SET same = NULL WHERE same IS NOT NULL")
    return f"forgot {known:,} answers"


def forget_images(connection: sqlite3.Connection, images: Iterable[str]) -> None:
    """Take out what names erased images, within the caller's transaction."""
    connection.executemany(
        "DELETE FROM question WHERE ?1 IN (image, other)", ((image,) for image in images)
    )


def facts(collection: "Collection", rows: int, granularity: str | None) -> Facts:
    """What was answered under `granularity` of images in two rows below `rows`."""
    with collection.index.transaction(durable=False) as connection:
        found = connection.execute(
            "SELECT image, other, same FROM question WHERE same IS NOT NULL AND word = ?",
            (granularity or "",),
        ).fetchall()
    places = collection.index.row_of([image for pair in found for image in pair[:2]])
    known = [
        (row, other, same)
        for row, other, (_, _, same) in zip(places[::2], places[1::2], found, strict=True)
        if row is not None and other is not None and row != other and max(row, other) < rows
    ]
    return np.array(known, np.int64) if known else NO_FACTS.copy()


def _count(connection: sqlite3.Connection) -> int:
    return int(
        connection.execute("SELECT count(*) FROM question WHERE same IS NOT NULL").fetchone()[0]
    )
