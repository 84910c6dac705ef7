"""Streams of records, and what must be there after they were taken."""

import json
from dataclasses import dataclass, field

import numpy as np

DIMENSION = 16


def near(group, rng, spread=0.02):
    """A vector close to the axis `group`: cosine above .9 within a group, below .5 between two."""
    vector = np.eye(DIMENSION)[group] + spread * rng.standard_normal(DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@dataclass
class Stream:
    """Records (key, value, headers) in their order, and the images that are left at the end."""

    records: list = field(default_factory=list)
    images: dict = field(default_factory=dict)
    bad: int = 0

    def add(self, id_, vector, collection="main", **more):
        """Insert or replace an image."""
        body = {"embedding": np.asarray(vector).tolist()} | more
        if collection != "main":
            body["collection"] = collection
        self.records.append((id_.encode(), json.dumps(body).encode(), []))
        self.images.setdefault(collection, {})[id_] = np.asarray(vector, np.float32)

    def erase(self, id_, collection="main"):
        """Erase an image."""
        self.records.append((id_.encode(), None, [("collection", collection.encode())]))
        self.images.get(collection, {}).pop(id_, None)

    def part(self, start, stop):
        """Only these records; the images that they are the last word on, if nothing is erased."""
        records = self.records[start:stop]
        ids = {key.decode() for key, _, _ in records}
        kept = {i: vector for i, vector in self.images["main"].items() if i in ids}
        return Stream(records, {"main": kept})

    def head(self, count):
        """The first records."""
        return self.part(0, count)

    def tail(self, count):
        """The last records."""
        return self.part(len(self.records) - count, len(self.records))

    def with_(self, other):
        """This stream followed by another of the collection main."""
        images = self.images["main"] | other.images["main"]
        return Stream(self.records + other.records, {"main": images})

    def refuse(self, key, value, headers=()):
        """A record that must not be taken."""
        self.records.append((key, value, list(headers)))
        self.bad += 1


def groups(count, size, *, seed=0, collection="main", prefix="i"):
    """`count` groups of `size` images each, in a random order."""
    stream, rng = Stream(), np.random.default_rng(seed)
    for number in rng.permutation(count * size).tolist():
        group, place = divmod(number, size)
        stream.add(f"{prefix}{group}-{place}", near(group, rng), collection)
    return stream


def eventful(seed=0):
    """Everything that can happen to an image: 150 images of two collections, shaken up."""
    rng = np.random.default_rng(seed)
    stream = groups(10, 13, seed=seed)
    for number in range(24):
        stream.add(f"u{number}", near(number % 2, rng), "user:2")
        if number % 6 == 0:
            stream.refuse(b"bad", b"no json")
    ids = rng.permutation(sorted(stream.images["main"])).tolist()
    for id_ in ids[:8]:
        stream.add(id_, near(int(rng.integers(10)), rng))  # another vector
    for id_ in ids[4:14]:
        stream.erase(id_)
    for id_ in ids[12:18]:
        stream.add(id_, near(int(rng.integers(10)), rng))  # comes back, or another vector
    for number, id_ in enumerate(ids[20:26]):
        stream.add(f"copy-{number}", stream.images["main"][id_])  # shares a row
        stream.add(id_, stream.images["main"][id_])  # nothing new
    stream.erase("copy-0")
    stream.erase("never-was")
    stream.erase("u3", "user:2")
    for id_ in ids[30:36]:
        stream.add(id_, near(int(rng.integers(10)), rng))
        stream.erase(id_)  # within one batch, most likely
    return stream
