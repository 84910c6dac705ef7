"""What `log` takes, refuses and reports."""

import sqlite3

import numpy as np
import pytest

from index import DimensionError, Erasure, NewImage, Outcome, StorageError, VectorError

A, B, C = np.eye(3, dtype=np.float32)


def outcomes(logged):
    return [(w.outcome, w.row, w.old_row) for w in logged.writes]


def test_new_images_get_consecutive_rows(reopen, tools):
    """Each distinct vector is one row, in the order of the writes."""
    collection = reopen(3)
    logged = tools.write(collection, ("a", A), ("b", B), positions={"t:0": 7})
    assert outcomes(logged) == [(Outcome.ADDED, 0, None), (Outcome.ADDED, 1, None)]
    assert logged.new_rows.tolist() == [0, 1]
    assert logged.dead_rows.tolist() == []
    assert np.array_equal(collection.vectors, [A, B])
    assert collection.row_of(["b", "?", "a"]) == [1, None, 0]
    assert dict(collection.positions) == {"t:0": 7}
    tools.check(collection)


def test_equal_vectors_share_a_row(reopen, tools):
    """Exact duplicates are counted, not stored again; +0 and -0 are the same vector."""
    collection = reopen(3)
    logged = tools.write(collection, ("a", A), ("b", A), ("c", np.array([1, -0.0, 0], np.float32)))
    assert [row for _, row, _ in outcomes(logged)] == [0, 0, 0]
    assert collection.counts.tolist() == [3]
    assert collection.images == 3
    assert collection.ids_of([0]) == [["a", "b", "c"]]
    tools.check(collection)


def test_the_same_image_again_changes_nothing_but_its_metadata(reopen, tools):
    """Same id and same vector: unchanged; group, uri and time are taken over."""
    collection = reopen(3)
    tools.write(collection, ("a", A))
    logged = tools.write(collection, ("a", A, "g", "file:///a", 5.0))
    assert outcomes(logged) == [(Outcome.UNCHANGED, 0, None)]
    assert collection.rows == collection.images == 1
    with collection.transaction(durable=False) as db:
        assert db.execute("SELECT * FROM image").fetchall() == [("a", 0, "g", "file:///a", 5.0)]


def test_a_new_vector_replaces_the_old_one(reopen, tools):
    """Same id, new vector: a new row; the old one dies when no image is left in it."""
    collection = reopen(3)
    tools.write(collection, ("a", A), ("b", B))
    logged = tools.write(collection, ("a", C))
    assert outcomes(logged) == [(Outcome.REPLACED, 2, 0)]
    assert logged.dead_rows.tolist() == [0]
    assert collection.counts.tolist() == [0, 1, 1]
    tools.check(collection)


def test_an_erased_image_is_gone(reopen, tools):
    """Erasing empties the row only with its last image; an unknown id is absent."""
    collection = reopen(3)
    tools.write(collection, ("a", A), ("b", A), ("c", B))
    logged = tools.write(collection, "a", "?", "c")
    assert outcomes(logged) == [
        (Outcome.ERASED, None, 0),
        (Outcome.ABSENT, None, None),
        (Outcome.ERASED, None, 1),
    ]
    assert logged.dead_rows.tolist() == [1]
    assert collection.counts.tolist() == [1, 0]
    assert B.tobytes() not in collection.vectors_path.read_bytes()
    tools.check(collection)


def test_an_erased_vector_that_returns_gets_a_new_row(reopen, tools):
    """A dead row is never used again."""
    collection = reopen(3)
    tools.write(collection, ("a", A))
    tools.write(collection, "a")
    logged = tools.write(collection, ("a", A))
    assert outcomes(logged) == [(Outcome.ADDED, 1, None)]
    tools.check(collection)


def test_one_id_several_times_in_a_batch(reopen, tools):
    """Writes of a batch take effect in order; the last word on an id stands."""
    collection = reopen(3)
    logged = tools.write(
        collection, ("a", A), ("a", A), ("a", B), "a", "a", ("a", C), ("b", A), ("a", A)
    )
    assert outcomes(logged) == [
        (Outcome.ADDED, 0, None),
        (Outcome.UNCHANGED, 0, None),
        (Outcome.REPLACED, 1, 0),
        (Outcome.ERASED, None, 1),
        (Outcome.ABSENT, None, None),
        (Outcome.ADDED, 2, None),
        (Outcome.ADDED, 0, None),
        (Outcome.REPLACED, 0, 2),
    ]
    assert logged.new_rows.tolist() == [0, 1, 2]
    assert logged.dead_rows.tolist() == [1, 2]
    assert collection.ids_of([0, 1, 2]) == [["a", "b"], [], []]
    tools.check(collection)


def test_positions_alone_are_kept(reopen):
    """A batch whose records were all bad still moves the source on."""
    collection = reopen(3)
    collection.log([], {"t:0": 5})
    collection.log([], {"t:1": 6})
    assert dict(reopen().positions) == {"t:0": 5, "t:1": 6}


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        (np.array([1, 0], np.float32), DimensionError),
        (np.array([[1, 0, 0]], np.float32), DimensionError),
        (np.array([np.nan, 0, 1], np.float32), VectorError),
        (np.array([np.inf, 0, 0], np.float32), VectorError),
        (np.array([3e38, 3e38, 0], np.float32), VectorError),
        (np.zeros(3, np.float32), VectorError),
        (np.array([1, 1, 0], np.float32), VectorError),
    ],
)
def test_a_bad_vector_is_refused_by_the_id_and_nothing_is_taken(reopen, tools, vector, error):
    """A batch with one bad vector leaves the collection as it was."""
    collection = reopen(3)
    with pytest.raises(error, match="'bad'") as caught:
        collection.log([NewImage("a", A), NewImage("bad", vector)], {"t:0": 2})
    assert isinstance(caught.value, StorageError)
    assert isinstance(caught.value, ValueError)
    assert (collection.rows, collection.images, dict(collection.positions)) == (0, 0, {})
    tools.check(collection)


def test_a_failed_commit_takes_nothing(reopen, tools):
    """When the catalog refuses the transaction, memory stays as it was and the next batch works."""
    collection = reopen(3)
    tools.write(collection, ("a", A))
    collection.ensure_schema(
        "CREATE TRIGGER stop BEFORE INSERT ON image WHEN new.id = 'b' "
        "BEGIN SELECT raise(ABORT, 'stop'); END"
    )
    with pytest.raises(sqlite3.IntegrityError, match="stop"):
        collection.log([NewImage("b", B), Erasure("a")], {"t:0": 2})
    tools.check(collection)
    tools.write(collection, ("c", C))
    assert np.array_equal(collection.vectors, [A, C])
    tools.check(reopen())


def test_tables_of_the_caller_in_the_same_transaction(reopen, tools):
    """What `also` writes is committed with the batch, and takes the batch with it when it fails."""
    collection = reopen(3)
    collection.ensure_schema("CREATE TABLE mine (row INTEGER PRIMARY KEY)")

    def note(db, logged):
        db.executemany("INSERT INTO mine VALUES (?)", [(w.row,) for w in logged.writes])

    collection.log([NewImage("a", A), NewImage("b", B)], {"t:0": 2}, note)
    with pytest.raises(sqlite3.IntegrityError):
        collection.log([NewImage("c", C), NewImage("a", A)], {"t:0": 4}, note)
    collection = reopen()
    assert sorted(dict(collection.iterate())) == ["a", "b"]
    assert dict(collection.positions) == {"t:0": 2}
    with collection.transaction(durable=False) as db:
        assert db.execute("SELECT row FROM mine").fetchall() == [(0,), (1,)]
    tools.check(collection)


def test_transactions_of_the_caller(reopen):
    """Tables of the caller live in the catalog; a block that raises leaves no trace."""
    collection = reopen(3)
    for _ in range(2):
        collection.ensure_schema("CREATE TABLE IF NOT EXISTS mine (x INTEGER)")
    with collection.transaction(durable=False) as db:
        db.execute("INSERT INTO mine VALUES (1)")
    with (
        pytest.raises(sqlite3.OperationalError, match="no such table"),
        collection.transaction(durable=True) as db,
    ):
        db.executemany("INSERT INTO mine VALUES (?)", [(2,), (3,)]).execute("DELETE FROM other")
    with collection.transaction(durable=True) as db:
        assert db.execute("SELECT x FROM mine").fetchall() == [(1,)]
        with (
            pytest.raises(StorageError, match="inside another"),
            collection.transaction(durable=True),
        ):
            pass


def test_iterate_while_images_arrive(reopen, tools):
    """A long walk over the images goes on while batches are logged in between."""
    collection = reopen(8)
    vectors, _ = tools.clustered(25_000, 8)
    images = [NewImage(str(i), vector) for i, vector in enumerate(vectors)]
    collection.log(images[:24_000], {})
    walk = collection.iterate()
    first = [next(walk) for _ in range(10)]
    collection.log(images[24_000:], {})
    ids = [id_ for id_, _ in [*first, *walk]]
    assert ids == sorted(set(ids))
    assert set(ids) >= {image.id for image in images[:24_000]}
