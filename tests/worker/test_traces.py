"""What `shoal verify-erased` finds, and what it does not take for a trace."""

import base64
import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from worker.traces import scan
from worker.traces.in_catalog import in_catalog
from worker.traces.in_files import Searched, in_files
from worker.traces.sought import Sought, sought

VECTOR = np.array([0.6, 0.8], np.float32)


@pytest.fixture
def data_dir(tmp_path):
    (tmp_path / "collections" / "main").mkdir(parents=True)
    return tmp_path


def found(data_dir, wanted, collection="main"):
    """File, kind of trace."""
    searched = Searched()
    traces = list(in_files(data_dir, collection, wanted, searched))
    assert searched.files == len([p for p in data_dir.rglob("*") if p.is_file()])
    return [(trace.where.rpartition("/")[2], trace.what) for trace in traces]


class TestScan:
    @pytest.mark.parametrize("part", [1, 7, 16, 1 << 20])
    def test_every_place_is_found_once(self, tmp_path, monkeypatch, part):
        """Wherever it lies between two parts that are read."""
        monkeypatch.setattr(scan, "_PART_BYTES", part)
        monkeypatch.setattr(scan, "_CONTEXT_BYTES", 8)
        path = tmp_path / "file"
        content = bytearray(b"." * 200)
        expected = [0, 5, 13, 14, 31, 63, 100, 197]
        for at in expected:
            content[at : at + 3] = b"aaa"
        path.write_bytes(content)
        assert scan.places(path, b"aaa") == [
            at for at in range(198) if content[at : at + 3] == b"aaa"
        ]

    @pytest.mark.parametrize("part", [16, 64, 1 << 20])
    def test_parts_of_something_else_are_left_out(self, tmp_path, monkeypatch, part):
        """Who decides sees what is around each place."""
        monkeypatch.setattr(scan, "_PART_BYTES", part)
        monkeypatch.setattr(scan, "_CONTEXT_BYTES", 16)
        path = tmp_path / "file"
        path.write_bytes(b"a1|" + b"." * 40 + b"b1|a1|" + b"." * 40 + b"1|")
        found = scan.places(path, b"1|", lambda part, at: part[at - 1 : at] == b"a")
        assert found == [44, 89]

    def test_nothing_in_nothing(self, tmp_path):
        """An empty file."""
        (tmp_path / "file").touch()
        assert scan.places(tmp_path / "file", b"a") == []


class TestText:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("photo-1", "id"),
            ("correction 3: same photo-1 photo-17; sets aside 2", "id"),
            ("failed: there is no image 'photo-1'", "id"),
            ('{"image": ["photo-1"]}', "id"),
            ('{"photo-1": 5}', "id"),
            ('{"rows": 1, "image": "photo-17"}', None),
            ("photo-17 aphoto-1 photo-1-b", None),
            ("", None),
        ],
    )
    def test_words(self, text, expected):
        """As a whole, as a string of JSON, as a word; not within another."""
        assert Sought("photo-1").in_text(text) == expected

    def test_numbers_are_no_ids(self):
        """The id 12 is not the 12 rows of a manifest."""
        assert Sought("12").in_text('{"rows": 12, "k": [12]}') is None
        assert Sought("12").in_text('{"image": "12"}') == "id"

    def test_ids_with_spaces(self):
        """An id may be more than a word."""
        assert Sought("a b").in_text("same a b c") == "id"

    def test_letters_beyond_ascii(self):
        """JSON may write them in another way."""
        assert Sought("bär").in_text(json.dumps({"image": "bär"})) == "id"


class TestFiles:
    def test_numbers(self, data_dir):
        """A vector anywhere among numbers; a long id, but no short one, which chance puts there."""
        path = data_dir / "collections" / "main" / "vectors.f32"
        path.write_bytes(b"12" + VECTOR.tobytes() + b"photo-000001")
        wanted = sought("12", VECTOR)
        assert found(data_dir, wanted) == [("vectors.f32", "vector")]
        assert found(data_dir, sought("photo-000001", None)) == [("vectors.f32", "id")]
        assert found(data_dir, sought("photo-2", -VECTOR)) == []

    def test_checksum_in_a_manifest(self, data_dir):
        """What the manifest of a snapshot keeps of its last row tells the vector."""
        wanted = sought("photo-1", VECTOR)
        path = data_dir / "collections" / "main" / "manifest.json"
        path.write_text(json.dumps({"last_hash": wanted.checksums[0].hex()}))
        assert found(data_dir, wanted) == [("manifest.json", "checksum")]

    def test_dead_letters(self, data_dir):
        """Their bytes are coded."""
        sent = (3 * VECTOR).tobytes()
        letters = [
            {"key": b"photo-1", "value": None, "headers": []},
            {"key": b"x", "value": b'{"id": "photo-1"}', "headers": []},
            {"key": b"x", "value": b"[]", "headers": [["id", b"photo-1"]]},
            {"key": b"x", "value": sent, "headers": []},
            {"key": b"photo-17", "value": b"", "headers": []},
        ]
        path = data_dir / "dead-letters.jsonl"
        path.write_text(
            "".join(
                json.dumps(
                    {
                        "key": _coded(letter["key"]),
                        "value": _coded(letter["value"]),
                        "headers": [[name, _coded(value)] for name, value in letter["headers"]],
                        "detail": "zero",
                    }
                )
                + "\n"
                for letter in letters
            )
        )
        wanted = sought("photo-1", VECTOR, sent)
        assert found(data_dir, wanted) == [
            ("dead-letters.jsonl", "id"),
            ("dead-letters.jsonl", "id"),
            ("dead-letters.jsonl", "id"),
            ("dead-letters.jsonl", "vector"),
        ]

    @pytest.mark.parametrize(
        ("folder", "owner"),
        [
            ("collections/main", None),
            ("collections/.second-main", None),
            ("collections/.making-.second-main", None),
            ("restoring/collections/main", None),
            ("backup/scratch", None),
            ("collections/other", "other"),
            ("collections/.former-other", "other"),
        ],
    )
    def test_every_file_is_searched(self, data_dir, folder, owner):
        """What is found says whose it is."""
        path = data_dir / folder / "notes.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('"photo-1"')
        searched = Searched()
        [trace] = in_files(data_dir, "main", Sought("photo-1"), searched)
        assert (trace.where, trace.owner) == (f"{folder}/notes.json", owner)
        assert searched.files == 1


class TestCatalog:
    @pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9])
    def test_a_file_that_is_no_database(self, data_dir, share):
        """One that was not written to its end is searched by its bytes, as are all others."""
        (data_dir / "collections" / ".making-main").mkdir()
        whole = data_dir / "collections" / "main" / "catalog.sqlite"
        with closing(sqlite3.connect(whole)) as db:
            db.execute("CREATE TABLE image (id TEXT)")
            db.executemany("INSERT INTO image VALUES (?)", [("photo-of-bob",)] * 2_000)
            db.commit()
        content = whole.read_bytes()
        half = data_dir / "collections" / ".making-main" / "catalog.sqlite"
        half.write_bytes(content[: int(len(content) * share)])
        traces = list(in_files(data_dir, "main", Sought("photo-of-bob"), Searched()))
        places = {trace.where for trace in traces}
        assert "collections/main/catalog.sqlite" in places
        assert ("collections/.making-main/catalog.sqlite" in places) == (share > 0)

    def test_tables_and_pages(self, data_dir):
        """In a table, in a free page, in the write-ahead log; not where it is a part of an id."""
        path = data_dir / "catalog.sqlite"
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE image (id TEXT PRIMARY KEY, row INTEGER) WITHOUT ROWID")
        db.executemany("INSERT INTO image VALUES (?, ?)", [("photo-17", 1), ("xphoto-1", 27)])
        db.executemany(
            "INSERT INTO image VALUES (?, ?)", [(f"photo-1{i}", i) for i in range(20, 99)]
        )
        db.execute("CREATE INDEX image_row ON image (row)")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert traces(path) == []
        db.execute("INSERT INTO image VALUES ('photo-1', 55)")
        assert traces(path) == ["catalog.sqlite", "catalog.sqlite-wal"]
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("DELETE FROM image WHERE id = 'photo-1'")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert traces(path) == ["catalog.sqlite"]
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert traces(path) == []
        db.close()
        assert traces(path) == []

    @pytest.mark.parametrize("id_", ["7", "a1", "17", "a123"])
    def test_short_ids_stand_by_chance_among_numbers(self, data_dir, id_):
        """An id of few bytes is one where a record says so, not within a hash or a checksum."""
        path = data_dir / "catalog.sqlite"
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE image (id TEXT PRIMARY KEY, hash BLOB) WITHOUT ROWID")
        content = b"0123" + id_.encode() + b"89"
        db.execute("INSERT INTO image VALUES ('other', ?)", (content,))
        assert content in path.with_name("catalog.sqlite-wal").read_bytes()
        assert traces(path, id_) == []
        db.execute("INSERT INTO image VALUES (?, ?)", (id_, content))
        assert traces(path, id_) == ["catalog.sqlite", "catalog.sqlite-wal"]
        db.execute("PRAGMA secure_delete = ON")
        db.execute("DELETE FROM image WHERE id = ?", (id_,))
        assert traces(path, id_) == ["catalog.sqlite-wal"]
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert traces(path, id_) == []
        db.close()

    def test_a_log_of_nothing_but_numbers(self, data_dir):
        """Whatever two bytes the checksums of a write-ahead log begin with, they are no id."""
        path = data_dir / "positions.sqlite"
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE position (next INTEGER)")
        log = path.with_name("positions.sqlite-wal")
        for number in range(2_000):
            db.execute("INSERT INTO position VALUES (?)", (number,))
            seen = log.read_bytes()[-4_096 - 8 : -4_096 - 6]
            if seen.isalnum():
                break
        assert seen.isalnum()
        assert seen in log.read_bytes()
        assert traces(path, seen.decode()) == []
        db.close()


def traces(path, id_="photo-1"):
    return sorted({trace.where for trace in in_catalog(path, path.name, Sought(id_))})


def _coded(content):
    return None if content is None else base64.b64encode(content).decode()
