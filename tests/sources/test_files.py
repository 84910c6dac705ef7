import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from worker.decode import Decoder, DecodeSettings, FieldNames
from worker.errors import Reason, RejectedError, SettingsError
from worker.sources.file_source import FileSource

ROWS = np.random.default_rng(7).standard_normal((12, 5)).astype(np.float32)
UNIT = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)


def read(*paths, **options):
    source = FileSource(paths, **options)
    source.open({})
    records = []
    while not source.exhausted:
        records += source.poll(5, 0.0)
    source.close()
    return records


def images(*paths, fields=None, **options):
    decoder = Decoder(DecodeSettings(fields=fields or FieldNames()))
    return [decoder.decode(raw) for raw in read(*paths, fields=fields, **options)]


def vectors(records):
    return np.array([record.embedding for record in records])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "ids", [None, [f"i{n}" for n in range(12)], [b"b%d" % n for n in range(12)]]
)
def test_npz(tmp_path, save, ids):
    """Rows of `features` arrive with the ids of the file or made ones; labels are ignored."""
    path = tmp_path / "digits.npz"
    save(path, labels=np.zeros(12), features=ROWS, **({} if ids is None else {"ids": ids}))
    records = images(path)
    assert np.allclose(vectors(records), UNIT, atol=1e-6)
    expected = [f"digits/{n:02}" for n in range(12)] if ids is None else ids
    assert [record.id.encode() for record in records] == [
        one if isinstance(one, bytes) else str(one).encode() for one in expected
    ]


@pytest.mark.parametrize(
    "array",
    [
        ROWS.astype("<f2"),
        ROWS.astype(">f8"),
        (ROWS * 100).astype(np.int16),
        np.asfortranarray(ROWS),
    ],
)
@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_any_kind_of_number(tmp_path, array, suffix):
    """Every number type, byte order and memory order is read."""
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, array)
    else:
        np.savez(path, features=array)
    plain = array.astype(np.float64)
    expected = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    assert np.allclose(vectors(images(path)), expected, atol=1e-6)


def test_an_empty_matrix_is_no_error(tmp_path):
    """No rows, no records."""
    np.savez(tmp_path / "none.npz", features=np.zeros((0, 8), np.float32))
    np.save(tmp_path / "none.npy", np.zeros((0, 8), np.float32))
    assert read(tmp_path / "none.npz", tmp_path / "none.npy") == []


def test_large_files_are_mapped_not_read(tmp_path):
    """An uncompressed npz is memory-mapped: opening it reads next to nothing."""
    np.savez(tmp_path / "a.npz", features=ROWS, ids=np.arange(12))
    source = FileSource([tmp_path / "a.npz"])
    source.open({})
    source.poll(1, 0.0)
    features, ids = source._open[1]._arrays
    assert isinstance(features, np.memmap)
    assert isinstance(ids, np.memmap)


def test_jsonl(tmp_path):
    """Lines are messages; the id is in the line, or made from its number; empty lines are none."""
    path = tmp_path / "more.jsonl"
    lines = [
        json.dumps({"id": "a", "embedding": ROWS[0].tolist(), "collection": "x"}),
        "",
        json.dumps({"id": 7, "embedding": ROWS[1].tolist()}),
        json.dumps({"embedding": ROWS[2].tolist(), "group": "g"}),
    ]
    path.write_text("\r\n".join(lines))
    records = images(path)
    assert [(r.id, r.collection, r.group) for r in records] == [
        ("a", "x", None),
        ("7", "main", None),
        ("more/3", "main", "g"),
    ]
    assert [raw.offset for raw in read(path)] == [0, 2, 3]
    assert np.allclose(vectors(records), UNIT[:3], atol=1e-6)


def test_a_bad_line_is_refused_alone(tmp_path):
    """It goes its way to the dead letters as a record with its place."""
    path = tmp_path / "bad.jsonl"
    path.write_text('{"embedding": [1, 2]}\n{"embedding": [1,\n')
    good, bad = read(path)
    Decoder().decode(good)
    with pytest.raises(RejectedError, match="not_json"):
        Decoder().decode(bad)
    assert (bad.key, bad.offset) == (b"bad/1", 1)


@pytest.mark.parametrize(
    ("kind", "id_type"),
    [(pa.list_(pa.float32()), pa.string()), (pa.list_(pa.float64(), 5), pa.binary())],
)
def test_parquet(tmp_path, kind, id_type):
    """Columns are fields of messages, over several row groups."""
    path = tmp_path / "t.parquet"
    moment = datetime(2024, 5, 1, 12, tzinfo=UTC)
    table = pa.table(
        {
            "embedding": pa.array(ROWS.astype(float).tolist(), kind),
            "id": pa.array([f"p{n}" for n in range(12)], id_type),
            "collection": ["x", None] * 6,
            "time": [moment] * 12,
            "labels": list(range(12)),
        }
    )
    parquet.write_table(table, path, row_group_size=5)
    records = images(path, collection="y")
    assert np.allclose(vectors(records), UNIT, atol=1e-6)
    assert [record.id for record in records] == [f"p{n}" for n in range(12)]
    assert [record.collection for record in records] == ["x", "y"] * 6
    assert {record.time for record in records} == {1714564800.0}


def test_parquet_columns_can_be_mapped(tmp_path):
    """Column names are those of the settings; without an id column ids are made."""
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"v": ROWS.tolist(), "by": ["m"] * 12}), path)
    fields = FieldNames(embedding="v", model="by")
    records = images(path, fields=fields)
    assert (records[3].id, records[3].model) == ("t/03", "m")


def test_a_missing_vector_is_refused_and_never_an_erasure(tmp_path):
    """Null in the embedding column is a bad record."""
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"embedding": [[1.0, 2.0], None]}), path)
    with pytest.raises(RejectedError) as error:
        Decoder().decode(read(path)[1])
    assert error.value.reason == Reason.MISSING_EMBEDDING


def test_the_collection_is_an_argument(tmp_path):
    """Rows that name no collection belong to the one given."""
    np.save(tmp_path / "a.npy", ROWS)
    (tmp_path / "b.jsonl").write_text('{"embedding": [1, 2]}')
    records = images(tmp_path / "a.npy", tmp_path / "b.jsonl", collection="family:1")
    assert {record.collection for record in records} == {"family:1"}


def test_files_are_read_one_after_the_other(tmp_path):
    """Every file is a partition of its own, in the order given, and lag counts its rows."""
    paths = [tmp_path / name for name in ("b.npy", "a.npy")]
    for path in paths:
        np.save(path, ROWS)
    source = FileSource(paths)
    source.open({str(paths[0]): 10})
    assert source.lag() == {str(paths[0]): 2, str(paths[1]): 12}
    places = [(raw.partition, raw.offset) for raw in source.poll(4, 0.0)]
    assert places == [
        (str(p), n) for p, n in zip([paths[0]] * 2 + [paths[1]] * 2, [10, 11, 0, 1], strict=False)
    ]
    source.close()


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("gone.npz", lambda _: None, "is no file"),
        ("a.csv", lambda path: path.write_text("1,2"), "allowed: .npz, .npy, .jsonl, .parquet"),
        ("a.npz", lambda path: np.savez(path, x=ROWS), "has the arrays x, must have 'features'"),
        (
            "a.npz",
            lambda path: np.savez(path, features=ROWS[0]),
            r"\(5,\), must be numbers \[n, d\]",
        ),
        ("a.npz", lambda path: np.savez(path, features=[["a"]]), "must be numbers"),
        ("a.npz", lambda path: np.savez(path, features=ROWS, ids=["a"]), r"ids are <U1 \(1,\)"),
        ("a.npz", lambda path: path.write_bytes(b"nonsense"), "cannot be read"),
        ("a.npy", lambda path: path.write_bytes(b"nonsense"), "cannot be read"),
        ("a.npy", lambda path: np.save(path, ROWS[0]), "must be numbers"),
        ("a.parquet", lambda path: path.write_bytes(b"nonsense"), "cannot be read"),
        (
            "a.parquet",
            lambda path: parquet.write_table(pa.table({"x": [1]}), path),
            "has the columns x, must have 'embedding'",
        ),
        (
            "a.parquet",
            lambda path: parquet.write_table(pa.table({"embedding": ["a"]}), path),
            "is string, must be lists of numbers",
        ),
    ],
)
def test_files_that_cannot_work_are_named(tmp_path, name, make, says):
    """The error names the file and what is allowed."""
    path = tmp_path / name
    make(path)
    with pytest.raises(SettingsError, match=says) as error:
        read(path)
    assert str(path) in str(error.value)
