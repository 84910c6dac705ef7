"""What people say of images and clusters: checked, made durable, made to hold, and answered.

A word stands for an image of that id; where there is none, for the cluster of that id (or its
successor), which for `same` and `apart` means its most typical image.
"""

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from index import reach_fault
from worker import questions
from worker.agreement import agree
from worker.amend import hold, table_of
from worker.collection import Collection
from worker.corrections import Correction, CorrectionKind
from worker.errors import SayingError
from worker.requests import Saying
from worker.store.base import Event, EventKind
from worker.truth import learn

MAX_NAME_CHARACTERS = 200

# The words that each goes with; a labelled sample and answers have any number of them.
SAYINGS: Mapping[Saying, tuple[str, ...]] = {
    "name": ("cluster", "name"),
    "same": ("image", "other"),
    "apart": ("image", "other"),
    "belongs": ("image", "cluster"),
    "uncorrect": ("correction",),
    "corrections": (),
    "questions": (),
    "unanswer": (),
}


def say(collection: Collection, saying: Saying, words: Sequence[str], now: float) -> str:
    """Do what was said; the answer for the person. Saying it again changes nothing.

    It is durable when this returns, and readers see it with the next update. No run may be in the
    middle of its adoption. Blocks for as long as rows are changed. Raises `SayingError`.
    """
    if saying in SAYINGS and len(words) != len(SAYINGS[saying]):
        raise SayingError(f"{saying} takes {len(SAYINGS[saying])} words, not {len(words)}")
    if saying in _BINDING_NO_IMAGE:
        return _BINDING_NO_IMAGE[saying](collection, words)
    collection.settle()
    before = _idle(collection)
    if saying == "uncorrect":
        answer = _take_back(collection, words[0])
    else:
        record = _record(collection, CorrectionKind(saying), words[0], words[1], now)
        answer = f"correction {record.number}: {_text(collection, record)}"
    reach_fault("R5")
    hold(collection, now)
    reach_fault("R5b")
    aside = sorted(_idle(collection) - before)
    return answer + (f"; sets aside {', '.join(map(str, aside))}" if aside else "")


def logged(saying: Saying, words: Sequence[str]) -> dict[str, str]:
    """The words as fields of a log line, but for names: those of people stay out of logs."""
    fields = zip(SAYINGS[saying], words, strict=True)
    return {field: word for field, word in fields if field != "name"}


def listed(collection: Collection) -> list[dict[str, object]]:
    """The corrections, oldest first, as `shoal corrections --json` prints them."""
    idle = _idle(collection)
    return [
        {
            "number": record.number,
            "correction": str(record.kind),
            "image": record.image,
            "other": record.other,
            "cluster": _cluster_id(collection, record),
            "at": record.at,
            "holds": record.number not in idle,
        }
        for record in collection.corrections
    ]


def _truth(collection: Collection, words: Sequence[str]) -> str:
    scores = learn(collection, words)
    if scores is None:
        return "no labelled sample any more"
    return (
        f"{len(words) // 2:,} labelled images, {scores.images:,} of them here; now pairwise F"
        f" {scores.pairwise_f:.3f}, BCubed F {scores.bcubed_f:.3f}"
    )


def _name(collection: Collection, words: Sequence[str]) -> str:
    number, name = _cluster(collection, words[0]), words[1].strip()
    if len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise SayingError(
            f"name {name[:MAX_NAME_CHARACTERS]!r}: must be printable, at most"
            f" {MAX_NAME_CHARACTERS} characters"
        )
    cluster = collection.clusters[number]
    if (cluster.name or "") != name:
        with collection.index.transaction(durable=True) as connection:
            collection.clusters.name(connection, number, name or None)
            collection.outbox.add_clusters(connection, [number])
            event = Event(EventKind.NAMED, {"cluster": cluster.id, "name": name})
            collection.outbox.add_events(connection, [event])
    return f"cluster {cluster.id} is named {name!r}" if name else f"cluster {cluster.id}: no name"


def _record(
    collection: Collection, kind: CorrectionKind, one: str, two: str, now: float
) -> Correction:
    if kind is CorrectionKind.BELONGS:
        image, other, cluster = _known(collection, one), None, _cluster(collection, two)
    else:
        image, other, cluster = _image(collection, one), _image(collection, two), None
        _check_pair(collection, kind, image, other)
    last = max((record.number for record in collection.corrections), default=0)
    with collection.index.transaction(durable=True) as connection:
        record = collection.corrections.add(
            connection, kind, image, other=other, cluster=cluster, at=now
        )
        if record.number > last:
            event = Event(EventKind.CORRECTED, _fields(collection, record))
            collection.outbox.add_events(connection, [event])
    return record


def _check_pair(collection: Collection, kind: CorrectionKind, image: str, other: str) -> None:
    if image == other:
        raise SayingError(f"{kind}: both are the image {image!r}")
    rows = collection.index.row_of([image, other])
    if kind is CorrectionKind.APART and rows[0] == rows[1]:
        raise SayingError(f"apart: {image!r} and {other!r} have exactly the same embedding")


def _take_back(collection: Collection, word: str) -> str:
    record = next((r for r in collection.corrections if str(r.number) == word), None)
    if record is None:
        raise SayingError(f"there is no correction {word!r}; see shoal corrections")
    with collection.index.transaction(durable=True) as connection:
        collection.corrections.remove(connection, record)
        event = Event(EventKind.UNCORRECTED, _fields(collection, record))
        collection.outbox.add_events(connection, [event])
    return f"took back correction {record.number}: {_text(collection, record)}"


def _known(collection: Collection, word: str) -> str:
    if collection.index.row_of([word]) == [None]:
        raise SayingError(f"there is no image {word!r}")
    return word


def _cluster(collection: Collection, word: str) -> int:
    number = collection.clusters.find(word)
    if number is None:
        raise SayingError(f"there is no cluster {word!r}")
    return number


def _image(collection: Collection, word: str) -> str:
    """The image that `word` stands for."""
    if collection.index.row_of([word]) != [None]:
        return word
    number = collection.clusters.find(word)
    if number is None:
        raise SayingError(f"there is no image and no cluster {word!r}")
    labels = collection.assignments.labels
    exemplar = collection.clusters[number].exemplar_row
    members = np.flatnonzero(labels == number)
    if not len(members):
        raise SayingError(f"cluster {word!r} has no image")
    row = exemplar if exemplar is not None and labels[exemplar] == number else members[0]
    return collection.index.ids_of([int(row)])[0][0]


def _idle(collection: Collection) -> set[int]:
    """Corrections that cannot hold: contradicted by newer ones, or of a cluster that is gone."""
    table = table_of(collection, len(collection.assignments))
    return {record.number for record in collection.corrections} - set(
        table[agree(table).holds, 0].tolist()
    )


def _fields(collection: Collection, record: Correction) -> dict[str, str]:
    fields = {"number": str(record.number), "correction": str(record.kind), "image": record.image}
    if record.other is not None:
        return fields | {"other": record.other}
    return fields | {"cluster": _cluster_id(collection, record) or ""}


def _cluster_id(collection: Collection, record: Correction) -> str | None:
    if record.cluster is None:
        return None
    return collection.clusters.id(collection.clusters.heir(record.cluster))


def _text(collection: Collection, record: Correction) -> str:
    end = record.other if record.cluster is None else _cluster_id(collection, record)
    return f"{record.kind} {record.image} {end}"


_BINDING_NO_IMAGE: Mapping[Saying, Callable[[Collection, Sequence[str]], str]] = {
    "truth": _truth,
    "name": _name,
    "corrections": lambda collection, _: json.dumps(listed(collection)),
    "questions": lambda collection, _: questions.listed(collection),
    "answer": questions.answer,
    "unanswer": lambda collection, _: questions.forget(collection),
}
