"""Damage to files, at places that a seed decides."""

import random
import shutil

PAGE = 4_096


def flip(data, at, _random):
    """One bit."""
    data[at] ^= 1 << _random.randrange(8)


def zero(data, at, _random):
    """A page that was never written."""
    start = at // PAGE * PAGE
    data[start : start + PAGE] = bytes(len(data[start : start + PAGE]))


def garble(data, at, random_):
    """A stretch of other bytes."""
    stop = min(len(data), at + random_.randrange(2, 5_000))
    data[at:stop] = random_.randbytes(stop - at)


def cut(data, at, _random):
    """The end is gone."""
    del data[at:]


def grow(data, _at, random_):
    """More than was written."""
    data += random_.randbytes(random_.randrange(1, 5_000))


KINDS = {kind.__name__: kind for kind in (flip, zero, garble, cut, grow)}


def files_of(directory):
    """Every file that holds something, by its path within the folder; SQLite makes `-shm` anew."""
    return sorted(
        path.relative_to(directory)
        for path in directory.rglob("*")
        if path.is_file() and path.suffix != ".sqlite-shm" and path.stat().st_size
    )


def damaged_copies(directory, kind, times, seed=0, only=None):
    """Copies of a folder, each with one file damaged in one place: (folder, file).

    `only` names the files, by name or by path within the folder; default: all.
    """
    random_ = random.Random(seed)
    copy = directory.with_name(f"{directory.name}-{kind}")
    for file in _chosen(directory, only):
        for _ in range(times):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(directory, copy)
            before = (copy / file).read_bytes()
            data = bytearray(before)
            KINDS[kind](data, random_.randrange(len(data)), random_)
            if data != before:
                (copy / file).write_bytes(data)
                yield copy, file


def _chosen(directory, only):
    files = files_of(directory)
    return [f for f in files if only is None or f.name in only or f in only]


def swapped_copies(directory, times, seed=0, only=None):
    """Copies of a folder, each with one file in the place of another: (folder, file)."""
    random_ = random.Random(seed)
    copy = directory.with_name(f"{directory.name}-swapped")
    files = files_of(directory)
    for file in _chosen(directory, only):
        others = [
            o for o in files if (directory / o).read_bytes() != (directory / file).read_bytes()
        ]
        for other in random_.sample(others, times):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(directory, copy)
            shutil.copyfile(directory / other, copy / file)
            yield copy, file


def missing_copies(directory, only=None):
    """Copies of a folder, each with one file gone: (folder, file)."""
    copy = directory.with_name(f"{directory.name}-missing")
    for file in _chosen(directory, only):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(directory, copy)
        (copy / file).unlink()
        yield copy, file
