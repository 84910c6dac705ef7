"""What a collection lives through while its disk is written down by `recording_disk.c`.

Images come, change and go, each batch followed by a commit that does not wait for the disk, as the
worker has them; snapshots are taken, HNSW is rebuilt, space is given back, the catalog is
rewritten, and the collection is closed and opened. Each step is marked when it begins and when
it has returned, in a file beside the collection.
"""

import json
import random
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np

from index import CollectionIndex, Erasure, IndexSettings, NewImage, sync_folder

DIMENSION = 64
SETTINGS = IndexSettings(k=3, threads=1)
MARKS = "marks"
NAME = "collection"
STEPS = 36


def vector(number):
    """A unit vector, the same for the same number."""
    found = np.random.default_rng(number).standard_normal(DIMENSION)
    return (found / np.linalg.norm(found)).astype(np.float32)


def steps(seed):
    """The steps of a history: a batch, as (id, number of its vector or None), or a word."""
    random_ = random.Random(seed)
    words = ["snapshot", "snapshot beside", "rebuild", "give back", "vacuum", "drop", "reopen"]
    others = words + random_.choices(words, k=STEPS // 3 - len(words))
    random_.shuffle(others)
    done, number, alive = [], 0, []
    for place in range(STEPS):
        if place % 3 == 2:
            done.append(others.pop())
            continue
        batch = []
        for _ in range(random_.randrange(1, 25)):
            number += 1
            # Some have the vector of another image, or of one that is gone.
            same = number % 20 == 0
            batch.append((f"image-{number}", random_.randrange(number) if same else number))
        changed = random_.sample(alive, min(len(alive), 3))
        batch += [(id_, 10_000 + number) for id_ in changed]
        first = random_.randrange(len(alive) + 1)
        batch += [(id_, None) for id_ in alive[first : first + random_.choice([0, 2, 40])]]
        random_.shuffle(batch)
        alive = list(applied(dict.fromkeys(alive, 0), batch))
        done.append(batch)
    return done


def applied(state, batch):
    """What is there after a batch: the number of its vector by id."""
    after = dict(state)
    for id_, number in batch:
        if number is None:
            after.pop(id_, None)
        else:
            after[id_] = number
    return after


def states(seed):
    """What is there after so many batches, from none on."""
    found = [{}]
    for step in steps(seed):
        if not isinstance(step, str):
            found.append(applied(found[-1], step))
    return found


def make(root):
    """A new collection, as the worker makes one: whole, or not there at all."""
    aside = root / ".making"
    CollectionIndex.open(aside, settings=SETTINGS, dimension=DIMENSION).close()
    aside.rename(root / NAME)
    sync_folder(root)
    collection = opened(root)
    with collection.transaction(durable=True) as connection:
        connection.execute("CREATE TABLE said (number INTEGER PRIMARY KEY, text TEXT)")
    return collection


def opened(root):
    """The collection."""
    return CollectionIndex.open(root / NAME, settings=SETTINGS)


def take(collection, root, step, position):
    """Do one step; the collection to go on with."""
    left = collection.leftovers
    if step == "snapshot":
        collection.snapshot()
    elif step == "snapshot beside":
        collection.begin_snapshot()
        while collection.end_snapshot() is None:
            pass
    elif step == "rebuild":
        while not left.rebuild(50):
            pass
    elif step == "give back":
        left.give_back_rows()
    elif step == "vacuum":
        left.vacuum()
    elif step == "drop":
        left.drop_older_snapshots()
    elif step == "reopen":
        collection.close()
        return opened(root)
    else:
        batch = [Erasure(id_) if n is None else NewImage(id_, vector(n)) for id_, n in step]
        logged = collection.log(batch, {"t:0": position})
        collection.insert(logged.new_rows)
        collection.remove(logged.dead_rows)
        with collection.transaction(durable=False) as connection:
            texts = [(97 * position * number % 1_009, "x" * 300) for number in range(30)]
            connection.executemany("INSERT OR REPLACE INTO said VALUES (?, ?)", texts)
    return collection


def main():
    root, seed = Path(sys.argv[1]), int(sys.argv[2])
    with (
        (root / MARKS).open("ab", buffering=0) as marks,
        patch("index.database.CHECKPOINT_BYTES", 150_000),
    ):
        collection, position = make(root), 0
        for step in steps(seed):
            position += not isinstance(step, str)
            marks.write(f"{json.dumps({'begun': position})}\n".encode())
            collection = take(collection, root, step, position)
            marks.write(f"{json.dumps({'done': position})}\n".encode())
        collection.close()


if __name__ == "__main__":
    main()
