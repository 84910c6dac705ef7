"""What `shoal verify-erased` finds, and what it does not take for a trace."""

import base64
import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from worker.backup.take import MOVING, back_up
from worker.backup.target import FolderTarget
from worker.traces import scan
from worker.traces.in_catalog import in_catalog
from worker.traces.in_files import Searched, in_files
from worker.traces.records import is_text
from worker.traces.scan import every
from worker.traces.sought import Sought, sought
from worker.vectors import unit_vector

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

    def test_a_damaged_dead_letter(self, data_dir):
        """A line that is no letter is searched as it is."""
        path = data_dir / "dead-letters.jsonl"
        path.write_text("[" * 200_000 + " photo-1\n" + "null\n")
        assert found(data_dir, Sought("photo-1")) == [("dead-letters.jsonl", "id")]
        assert found(data_dir, Sought("photo-2")) == []

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

    def test_pieces_of_a_backup(self, bench, axis, tmp_path):
        """A killed move leaves the files of a collection in pieces, whose names tell no kind."""
        for number in range(10):
            bench.send(f"{number}", axis(number % 2, tilt=number / 50))
        bench.run()
        to = tmp_path / "to"
        back_up(bench.path, FolderTarget(to / MOVING), keep=1, only="main")
        found = list(in_files(to, "main", kept("7", axis(1, tilt=7 / 50)), Searched()))
        assert {trace.where.partition("/")[0] for trace in found} == {MOVING}
        assert {trace.what for trace in found} == {"id", "vector", "checksum"}
        assert list(in_files(to, "main", kept("77", axis(5)), Searched())) == []

    @pytest.mark.parametrize("piece", [4_096, 3 * 4_096, 1 << 20])
    def test_each_piece_of_a_catalog(self, data_dir, tmp_path_factory, piece):
        """Short ids are found in each as in a whole one, and none among numbers."""
        ids = [f"{number}" for number in range(3_000, 4_000)]
        content = _database(tmp_path_factory.mktemp("whole") / "a.sqlite", ids).read_bytes()
        pieces = data_dir / "moving" / "pieces" / "ab"
        pieces.mkdir(parents=True)
        for at in range(0, len(content), piece):
            (pieces / f"{at:064x}").write_bytes(content[at : at + piece])
        numbers = np.random.default_rng(0).standard_normal(1 << 18).astype("<f4").tobytes()
        (pieces / f"{'f' * 64}").write_bytes(numbers + b"3500")
        for id_ in ids[::100]:
            places = {name for name, _ in found(data_dir, Sought(id_))}
            assert places == {
                path.name for path in pieces.iterdir() if _is_text_in(path, id_.encode())
            }

    @pytest.mark.parametrize("name", ["unknown", "x.tmp", "damaged/lost.new"])
    def test_short_ids_in_text_of_unknown_names(self, data_dir, name):
        """What reads as text is searched as such, whatever it is called."""
        path = data_dir / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"image": "a1", "as": "bär"}')
        assert found(data_dir, Sought("a1")) == [(path.name, "id")]
        assert found(data_dir, Sought("a")) == []

    def test_a_word_is_no_part_of_another(self, data_dir):
        """What processes print is text, where a longer id is another."""
        for name in ("stdout", "stderr", "errors", "lock", "holder"):
            (data_dir / name).write_text("no photo-of-bob-17 there")
        assert found(data_dir, Sought("photo-of-bob-1")) == []
        assert len(found(data_dir, Sought("photo-of-bob-17"))) == 5


class TestCatalog:
    @pytest.mark.parametrize(
        "name",
        [
            "damaged/catalog.sqlite.kept",
            "damaged/catalog.sqlite.copy",
            "catalog.sqlite.old",
            "catalog.sqlite.anew",
        ],
    )
    @pytest.mark.parametrize("id_", ["17", "a1", "photo-1"])
    def test_copies_that_a_killed_repair_left(self, data_dir, name, id_):
        """They are searched as a catalog is: short ids too, and no parts of longer ones."""
        path = data_dir / "collections" / "main" / name
        path.parent.mkdir(exist_ok=True)
        _database(path, ["photo-17", "photo-10", "a12", "175"])
        assert found(data_dir, Sought(id_)) == []
        path.unlink()
        _database(path, ["photo-17", "a12", "175", id_])
        assert {found for found, _ in found(data_dir, Sought(id_))} == {path.name}

    @pytest.mark.parametrize("name", ["damaged/catalog.sqlite-wal.kept", "alone.sqlite-wal"])
    def test_a_log_without_its_file(self, data_dir, tmp_path_factory, name):
        """It is searched by itself."""
        whole, path = tmp_path_factory.mktemp("whole") / "a.sqlite", data_dir / name
        path.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(whole, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE image (id TEXT)")
            db.execute("INSERT INTO image VALUES ('a1')")
            path.write_bytes(whole.with_name("a.sqlite-wal").read_bytes())
        assert found(data_dir, Sought("a1")) == [(path.name, "id")]

    @pytest.mark.parametrize("id_", ["bär", 'the "one"', "图片"])
    def test_ids_that_json_writes_in_another_way(self, data_dir, id_):
        """In a table, and in a page that is free: `event_outbox` has data as JSON."""
        path = data_dir / "catalog.sqlite"
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("CREATE TABLE event_outbox (sequence INTEGER PRIMARY KEY, data TEXT)")
        db.execute("INSERT INTO event_outbox VALUES (1, ?)", (json.dumps({"image": f"{id_}2"}),))
        assert traces(path, id_) == []
        db.execute("INSERT INTO event_outbox VALUES (2, ?)", (json.dumps({"image": id_}),))
        assert traces(path, id_) == ["catalog.sqlite"]
        db.execute("DELETE FROM event_outbox WHERE sequence = 2")
        assert traces(path, id_) == ["catalog.sqlite"]
        db.execute("VACUUM")
        assert traces(path, id_) == []
        db.close()

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


def kept(id_, vector):
    """What to search for, as the worker keeps it."""
    return sought(id_, unit_vector(vector) + np.float32(0))


def _database(path, ids):
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE image (id TEXT PRIMARY KEY, row INTEGER) WITHOUT ROWID")
        db.executemany("INSERT INTO image VALUES (?, ?)", [(id_, 1) for id_ in ids])
        db.commit()
    return path


def _is_text_in(path, content):
    return any(
        is_text(path.read_bytes(), at, len(content)) for at in every(path.read_bytes(), content)
    )
