import numpy as np
import pytest

from index import (
    CollectionIndex,
    Erasure,
    IndexSettings,
    NewImage,
    compare_images,
    count_shared,
    differing_images,
)


def unit(dimension, number):
    vector = np.ones(dimension, np.float32)
    vector[number % dimension] += 1 + number
    return vector / np.linalg.norm(vector)


@pytest.fixture
def pair(tmp_path):
    """Two open collections of other dimensions: images 0 to 9, and 5 to 14 from the last on."""
    opened = []
    for name, dimension, numbers in (("a", 4, range(10)), ("b", 6, range(14, 4, -1))):
        made = CollectionIndex.open(
            tmp_path / name, settings=IndexSettings(threads=1), dimension=dimension
        )
        made.log([NewImage(f"i{n}", unit(dimension, n)) for n in numbers], {})
        opened.append(made)
    yield opened
    for made in opened:
        made.close()


@pytest.mark.parametrize("closed", [False, True])
def test_shared(pair, closed):
    """What both have with its two rows, and what one alone has; open or closed."""
    first, second = pair
    if closed:
        first.close()
        second.close()
    shared = compare_images(first.directory, second.directory)
    assert sorted(map(tuple, shared.rows.tolist())) == [(n, 14 - n) for n in range(5, 10)]
    assert shared.first_only == [f"i{n}" for n in range(5)]
    assert sorted(shared.second_only) == sorted(f"i{n}" for n in range(10, 15))
    assert count_shared(first.directory, second.directory) == (10, 10, 5)


def test_shared_after_changes(pair):
    """What was committed last counts."""
    first, second = pair
    first.log([Erasure("i5"), Erasure("i0")], {})
    second.log([NewImage("i1", unit(6, 20)), NewImage("i6", unit(6, 14))], {})
    assert count_shared(first.directory, second.directory) == (8, 11, 5)
    shared = compare_images(first.directory, second.directory)
    assert [*first.row_of(["i1"]), *second.row_of(["i1"])] in shared.rows.tolist()


def test_nothing_shared(pair):
    """Two collections of which one is empty."""
    first, second = pair
    second.log([Erasure(f"i{n}") for n in range(5, 15)], {})
    shared = compare_images(first.directory, second.directory)
    assert (shared.rows.shape, len(shared.first_only), shared.second_only) == ((0, 2), 10, [])


@pytest.fixture
def copies(tmp_path):
    """Two open collections; the second holds what the first one says of its ten images."""
    first, second = (
        CollectionIndex.open(tmp_path / name, settings=IndexSettings(threads=1), dimension=4)
        for name in "ab"
    )
    first.log([NewImage(f"i{n}", unit(4, n), f"g{n}", f"u{n}", float(n)) for n in range(10)], {})
    first.log([NewImage("twin", unit(4, 3))], {})
    second.log(first.writes_of([*(f"i{n}" for n in range(10)), "twin", "never"]), {})
    yield first, second
    first.close()
    second.close()


def test_copies(copies):
    """Another index that logs what one says of its images has the same ones."""
    first, second = copies
    assert differing_images(first.directory, second.directory) == []
    assert second.rows == 10
    assert second.row_of(["i3"]) == second.row_of(["twin"])
    assert first.writes_of(["never"]) == [Erasure("never")]


@pytest.mark.parametrize(
    "write",
    [
        NewImage("i4", unit(4, 20), "g4", "u4", 4.0),
        NewImage("i4", unit(4, 4), "g", "u4", 4.0),
        NewImage("i4", unit(4, 4), "g4", None, 4.0),
        NewImage("i4", unit(4, 4), "g4", "u4", 4.5),
        Erasure("i4"),
    ],
)
@pytest.mark.parametrize("which", [0, 1])
def test_differing(copies, write, which):
    """An image with another vector or other words, or in one of two alone, is named."""
    copies[which].log([write], {})
    assert differing_images(*(c.directory for c in copies)) == ["i4"]
