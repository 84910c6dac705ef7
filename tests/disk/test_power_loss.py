"""Every write to the disk is recorded; a crash after any of them, or the power gone, loses nothing.

The disk writes a sector whole or not at all. Of what was written and not synced any part may be
missing after a power loss, in any order, also names of files.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loading import load

from index import CollectionIndex
from index.findings import Harm
from index.verify import verify

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

# How many crashes of each kind; 0: one after every call (`make chaos`).
TIMES = int(os.environ.get("SHOAL_POWER_TIMES", "100"))
SEED = int(os.environ.get("SHOAL_CHAOS_SEED") or (1 if TIMES else random.randrange(10**6)))

history = load(HERE / "history.py")
life = load(HERE / "life.py")
record = load(HERE / "record.py")
check = load(HERE.parent / "index" / "conftest.py").check


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """What a program did to the disk."""
    library = tmp_path_factory.mktemp("recording") / "recording_disk.so"
    source = HERE / "recording_disk.c"
    subprocess.run(
        ["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"],
        check=True,
    )

    def run(program, *arguments):
        folder = tmp_path_factory.mktemp("recorded")
        root = folder / "disk"
        root.mkdir()
        subprocess.run(
            [sys.executable, HERE / program, root, *arguments],
            env={
                **os.environ,
                "LD_PRELOAD": str(library),
                "DISK_FOLDER": str(root),
                "DISK_RECORD": str(folder / "record"),
                "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE.parent / 'shared'}",
                "OMP_NUM_THREADS": "1",
            },
            check=True,
        )
        found = record.read(folder / "record", root)
        _whole(found, root, folder / "again")
        return found

    return run


@pytest.fixture(scope="module")
def calls(recorded):
    """What a history did to the disk."""
    return recorded("history.py", str(SEED))


def _whole(calls, root, again):
    """The record is complete: done again, it makes the very same files."""
    _rebuilt(calls, again, list)
    for path in root.rglob("*"):
        if path.is_file() and not _skipped(path.name):
            assert path.read_bytes() == (again / path.relative_to(root)).read_bytes(), path


def _skipped(name):
    return name == history.MARKS or name.endswith("-shm")


def _rebuilt(calls, path, kept):
    disk = record.Disk()
    for call in calls:
        disk.do(call)
    disk.leave(path, kept, _skipped)


def killed(random_):
    """All that was done is there, but of the last write only a part."""
    del random_
    return list


def power_lost(random_):
    """What was synced is there, and of the rest none, some, or all but a few."""
    share = random_.choice([0.0, 0.5, 0.95])

    def kept(changes):
        left = []
        for change in changes:
            if random_.random() < share:
                part = change
                if isinstance(change, record.Call) and random_.random() < 0.2:
                    part = record.torn(change, random_)
                left += [part] if part is not None else []
        return left

    return kept


def contents_lost(random_):
    """All names are there, and of the contents what was synced."""
    del random_
    return lambda changes: [c for c in changes if not isinstance(c, record.Call)]


def names_lost(random_):
    """All contents are there, and of the names those that were synced."""
    del random_
    return lambda changes: [c for c in changes if isinstance(c, record.Call)]


def _marks(calls):
    """The last batch of which it is known that it is there, and the last that was begun."""
    text = b"".join(c.data for c in calls if c.path == history.MARKS and c.kind == "W").decode()
    said = [json.loads(line) for line in text.splitlines()]
    return [max((m[key] for m in said if key in m), default=0) for key in ("done", "begun")]


def _places(calls, random_):
    """After how many calls the crash comes: from the first batch on."""
    first = next(i for i, call in enumerate(calls) if call.path == history.MARKS and call.data)
    last = range(first + 1, len(calls) + 1)
    return last if not TIMES else sorted(random_.sample(last, min(TIMES, len(last))))


def _check(root, states, done, begun):
    directory = root / history.NAME
    findings = verify(directory)
    assert {finding.harm for finding in findings} <= {Harm.NONE}, findings
    collection = CollectionIndex.open(directory, settings=history.SETTINGS)
    try:
        position = collection.positions.get("t:0", 0)
        assert done <= position <= begun
        state, images = states[position], dict(collection.iterate())
        assert images.keys() == state.keys()
        for id_, row in images.items():
            assert np.array_equal(collection.vectors[row], history.vector(state[id_])), id_
        check(collection)
    finally:
        collection.close()


@pytest.mark.parametrize("crash", [killed, power_lost])
def test_nothing_is_lost_or_made_up(calls, tmp_path, crash):
    """What was acknowledged is there, a batch is there whole or not at all; nothing is damaged."""
    random_ = random.Random(SEED)
    states = history.states(SEED)
    for place in _places(calls, random_):
        before = list(calls[:place])
        done, begun = _marks(before)
        if crash is killed and random_.random() < 0.5:
            part = record.torn(before.pop(), random_)
            before += [part] if part is not None else []
        root = tmp_path / "left"
        shutil.rmtree(root, ignore_errors=True)
        _rebuilt(before, root, crash(random_))
        try:
            _check(root, states, done, begun)
        except BaseException as error:
            error.add_note(
                f"{crash.__name__} after call {place} of {len(calls)}, {calls[place - 1]}"[:500]
            )
            raise


@pytest.fixture(scope="module")
def life_calls(recorded):
    """What the life of a worker did to the disk."""
    return recorded("life.py")


@pytest.mark.parametrize("crash", [contents_lost, names_lost, power_lost])
def test_a_run_that_is_published(life_calls, tmp_path, crash):
    """The power goes at any moment from when the result of a run is taken over until after it was
    removed: the worker starts again and serves every image.
    """
    random_ = random.Random(SEED)
    is_adopting = [call.path.endswith("runs/adopting") for call in life_calls]
    begun = next(n for n, c in enumerate(life_calls) if c.other.endswith("runs/adopting"))
    ended = [n for n, gone in enumerate(is_adopting) if gone and life_calls[n].kind == "D"]
    assert len(ended) == 2
    between = range(begun + 1, len(life_calls), max(1, 1_000 // TIMES) if TIMES else 1)
    for place in sorted({*between, *(end + 1 for end in ended)}):
        root = tmp_path / "left"
        shutil.rmtree(root, ignore_errors=True)
        _rebuilt(life_calls[:place], root, crash(random_))
        assert (root / life.NAME / "collections" / "main").is_dir()
        there = life.bench(root)
        life.send(there)
        life.send_more(there)
        there.run()
        assert there.states("photo-0") == [None]
        assert all(there.states(*(f"photo-{number}" for number in range(1, 31))))
