"""Questions: the pairs of images whose answers would tell the model most, and what people answered.

A run picks them (R2), people answer them (`shoal ask`), and later runs cut their hierarchy as
coarsely as all of them say. An answer says how coarse clusters are and binds no image: what must
hold of two images is a correction. Answers count under the granularity under which the question
was asked.
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

# One answer may say that merges are likelier than they are: docs/decisions/0118.
FEWEST = 10


def pose(collection: "Collection", connection: sqlite3.Connection, result: "RunResult") -> None:
    """Ask what the run `result` asks, in the place of what nobody answered, within the caller's
    transaction. Pairs of rows that were answered are not asked again, nor those of dead rows.
    """
    connection.execute("DELETE FROM question WHERE same IS NULL")
    known = {(a, b) for a, b, _ in _answered(collection, connection, result.granularity)}
    asked = [pair for pair in result.questions.tolist() if (min(pair), max(pair)) not in known]
    images = collection.index.ids_of([row for pair in asked for row in pair])
    pairs = zip(images[::2], images[1::2], strict=True)
    connection.executemany(
        "INSERT OR IGNORE INTO question (word, image, other) VALUES (?, ?, ?)",
        [(result.granularity or "", *sorted((a[0], b[0]))) for a, b in pairs if a and b],
    )


def listed(collection: "Collection") -> str:
    """The open questions, in the order in which the run drew them, as a JSON list of objects."""
    with collection.index.transaction(durable=False) as connection:
        found = connection.execute(
            "SELECT q.image, a.uri, q.other, b.uri, nullif(q.word, '') FROM question q"
            " JOIN image a ON a.id = q.image JOIN image b ON b.id = q.other"
            " WHERE q.same IS NULL ORDER BY q.number"
        ).fetchall()
    names = ("image", "image_uri", "other", "other_uri", "granularity")
    return json.dumps([dict(zip(names, row, strict=True)) for row in found])


def answer(collection: "Collection", words: Sequence[str]) -> str:
    """Take answers: image, other, and yes or no in turn; all of them or, if one is wrong, none.

    Durable when it returns. An answer takes the place of the one before, if the pair is not asked
    about again. What to tell the person. Raises `SayingError`.
    """
    if not words or len(words) % 3:
        raise SayingError(f"answer takes image, other, and yes or no, not {len(words)} words")
    answers = list(zip(words[::3], words[1::3], words[2::3], strict=True))
    with collection.index.transaction(durable=True) as connection:
        for image, other, said in answers:
            if said not in ANSWERS:
                raise SayingError(f"answer {said!r}: must be yes or no")
            number, word = _question(connection, image, other)
            connection.execute(
                "UPDATE question SET same = ? WHERE number = ?", (ANSWERS[said], number)
            )
        known = len(_answered(collection, connection, word or None))
    heeded = "the next run heeds them" if known >= FEWEST else f"runs heed them from {FEWEST} on"
    return f"took {len(answers):,} answers, {known:,} in all; {heeded}"


def forget(collection: "Collection") -> str:
    """Take back all answers, durably; what to tell the person."""
    with collection.index.transaction(durable=True) as connection:
        gone = connection.execute("DELETE FROM question WHERE same IS NOT NULL").rowcount
    return f"forgot {gone:,} answers"


def forget_images(connection: sqlite3.Connection, images: Iterable[str]) -> None:
    """Take out what names erased images, within the caller's transaction."""
    connection.executemany(
        "DELETE FROM question WHERE ?1 IN (image, other)", ((image,) for image in images)
    )


def facts(collection: "Collection", rows: int, granularity: str | None) -> Facts:
    """What was answered under `granularity` of images in two rows below `rows`; none of fewer
    than `FEWEST` answers, which say too little of a whole collection.
    """
    with collection.index.transaction(durable=False) as connection:
        known = _answered(collection, connection, granularity)
    told = [fact for fact in known if fact[1] < rows]
    return np.array(told, np.int64) if len(told) >= FEWEST else NO_FACTS.copy()


def _answered(
    collection: "Collection", connection: sqlite3.Connection, granularity: str | None
) -> list[tuple[int, int, int]]:
    """Two rows, the smaller first, and 1 or 0, of what was answered under `granularity`.

    Of several answers about the same two rows the last counts.
    """
    found = connection.execute(
        "SELECT image, other, same FROM question WHERE same IS NOT NULL AND word = ?"
        " ORDER BY number",
        (granularity or "",),
    ).fetchall()
    places = collection.index.row_of([image for pair in found for image in pair[:2]])
    same: dict[tuple[int, int], int] = {}
    for row, other, (_, _, said) in zip(places[::2], places[1::2], found, strict=True):
        if row is not None and other is not None and row != other:
            same[min(row, other), max(row, other)] = said
    return [(*pair, said) for pair, said in same.items()]


def _question(connection: sqlite3.Connection, image: str, other: str) -> tuple[int, str]:
    """Number and word of the question about two images: the open one, else the newest."""
    found = connection.execute(
        "SELECT number, word FROM question WHERE image = ? AND other = ?"
        " ORDER BY same IS NULL DESC, number DESC LIMIT 1",
        sorted((image, other)),
    ).fetchone()
    if found is None:
        raise SayingError(
            f"nobody asked about {image!r} and {other!r}; see shoal ask, and for a pair of"
            " your own shoal same and shoal apart"
        )
    number, word = found
    return int(number), str(word)
