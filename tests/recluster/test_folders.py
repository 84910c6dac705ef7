import json
from dataclasses import fields, replace

import numpy as np
import pytest
from full import full_disk

from index import is_disk_error
from worker.errors import CorruptError
from worker.gate import GateSettings, Verdict
from worker.recluster import generations
from worker.recluster.folder import read_folder, write_folder
from worker.recluster.lineage import Lineage
from worker.recluster.result import RunResult, read_result, resolve, write_result
from worker.recluster.view import read_view, write_view
from worker.store.base import EventKind

NO_MANIFESTS = [
    b"",
    bytes(300),
    b"[]",
    b"null",
    b"[" * 200_000,
    b'{"format": [2]}',
    b'{"format": 1, "files": 3, "meta": {}}',
    b'{"format": 1, "files": {}, "meta": []}',
]


def assert_same(one, other):
    for field in fields(one):
        if field.name != "context_path":
            np.testing.assert_equal(getattr(other, field.name), getattr(one, field.name))


@pytest.fixture
def result(calm):
    return RunResult(
        generation=4,
        n=5,
        cluster=np.array([7, 7, -2, -1, -3], np.int32),
        confidence=np.array([0.9, 0.8, 1, 0, 1], np.float32),
        clusters=np.array([7, -2, -3], np.int32),
        exemplars=np.array([1, 2, 4]),
        retired={3: 7, 5: -2, 6: None},
        revived=frozenset({7}),
        events=(
            Lineage(EventKind.CREATED, -2, (), 0, 1),
            Lineage(EventKind.MERGED, 7, (7, 3, 5), 1, 2),
            Lineage(EventKind.SPLIT, 4, (-2, 7), 3, 1),
            Lineage(EventKind.RETIRED, 6, (), 1, 0),
        ),
        levels=(np.arange(5, dtype=np.int32), np.zeros(5, np.int32)),
        drift=calm,
        verdict=Verdict(held=True, reasons=("so", "and so")),
        seconds={"edges": 0.5},
        expected_f=0.5,
        method="hi-lander sized by linkage",
        reason="merges promise F 0.10 only",
        device="cuda",
    )


class TestView:
    @pytest.mark.parametrize("blobs", [0, 4])
    def test_comes_back(self, tmp_path, make_view, blobs):
        """All of it, also when there is nothing in it."""
        view = make_view(
            blobs=blobs,
            pinned=frozenset({3}),
            live=frozenset({3, 4}),
            history=(np.array([1, 2], np.int32), np.zeros(0, np.int32)),
            group_size=12.5,
            weights=tmp_path / "weights",
            gate=GateSettings(max_changed_share=0.25),
        )
        write_view(tmp_path / "view", view)
        found = read_view(tmp_path / "view")
        assert_same(view, found)
        assert found.vectors().shape == (view.n, 8)

    def test_is_a_copy(self, tmp_path, make_view):
        """What the ingest loop changes later is not seen, and the other way round."""
        view = make_view()
        write_view(tmp_path / "view", view)
        before = view.neighbours.copy()
        view.neighbours[:] = 0
        found = read_view(tmp_path / "view")
        np.testing.assert_array_equal(found.neighbours, before)
        found.neighbours[:] = 1
        found.vectors()[:] = 0
        np.testing.assert_array_equal(read_view(tmp_path / "view").neighbours, before)
        assert found.vectors().any()

    def test_a_missing_file_is_named(self, tmp_path, make_view):
        """Also in a view."""
        write_view(tmp_path / "view", make_view())
        (tmp_path / "view" / "counts.npy").unlink()
        with pytest.raises(CorruptError, match=r"counts\.npy: missing"):
            read_view(tmp_path / "view")

    def test_a_wrong_shape_is_named(self, make_view):
        """An array that does not fit n or k is refused."""
        with pytest.raises(ValueError, match=r"counts has shape \(3,\); it must be \(20,\)"):
            make_view(counts=np.ones(3, np.int32))


class TestResult:
    def test_comes_back(self, tmp_path, result):
        """All of it, and the context beside it."""
        write_result(tmp_path / "r", result, lambda path: path.write_text("context"))
        found = read_result(tmp_path / "r")
        assert_same(result, found)
        assert found.context_path.read_text() == "context"

    def test_an_empty_one_comes_back(self, tmp_path, result):
        """No rows, no clusters, no events, no context."""
        none = np.zeros(0, np.int32)
        empty = replace(
            result,
            n=0,
            cluster=none,
            clusters=none,
            exemplars=np.zeros(0, np.int64),
            confidence=np.zeros(0, np.float32),
            retired={},
            revived=frozenset(),
            events=(),
            levels=(),
        )
        write_result(tmp_path / "r", empty)
        found = read_result(tmp_path / "r")
        assert_same(empty, found)
        assert found.context_path is None

    @pytest.mark.parametrize("name", ["cluster.npy", "context", "manifest.json", "level-1.npy"])
    @pytest.mark.parametrize("damage", ["flipped", "missing", "cut"])
    def test_damage_is_found_and_the_file_named(self, tmp_path, result, name, damage):
        """A flipped bit, a missing file, a short one: each is refused by name."""
        write_result(tmp_path / "r", result, lambda path: path.write_text("context"))
        file = tmp_path / "r" / name
        data = bytearray(file.read_bytes())
        data[0] ^= 64
        file.unlink()
        if damage != "missing":
            file.write_bytes(data if damage == "flipped" else data[:-3])
        with pytest.raises(CorruptError, match=name):
            read_result(tmp_path / "r")

    def test_another_format_is_refused(self, tmp_path, result):
        """A manifest of a later program says so."""
        write_result(tmp_path / "r", result)
        file = tmp_path / "r" / "manifest.json"
        file.write_text(file.read_text().replace('"format": 2', '"format": 9'))
        with pytest.raises(CorruptError, match="format 9; this program reads up to 2"):
            read_result(tmp_path / "r")

    @pytest.mark.parametrize("content", NO_MANIFESTS)
    def test_what_is_no_manifest_is_refused(self, tmp_path, result, content):
        """Whatever is in its place."""
        write_result(tmp_path / "r", result)
        (tmp_path / "r" / "manifest.json").write_bytes(content)
        with pytest.raises(CorruptError, match=r"manifest\.json"):
            read_result(tmp_path / "r")

    def test_a_word_of_an_earlier_manifest_is_damaged(self, tmp_path, result):
        """Nothing but what it lacks tells that of a version without a checksum there."""
        write_result(tmp_path / "r", result)
        file = tmp_path / "r" / "manifest.json"
        manifest = json.loads(file.read_text()) | {"format": 1}
        del manifest["checksum"]
        file.write_text(json.dumps(manifest))
        assert_same(result, read_result(tmp_path / "r"))
        for name in ("generation", "n", "levels", "drift", "verdict", "seconds", "expected_f"):
            meta = {key.replace(name, "x"): value for key, value in manifest["meta"].items()}
            file.write_text(json.dumps(manifest | {"meta": meta}))
            with pytest.raises(CorruptError, match=r"manifest\.json"):
                read_result(tmp_path / "r")

    def test_new_clusters_are_resolved(self, result):
        """Each -(k+2) becomes the k-th number given out."""
        assert result.new_clusters == 2
        assert resolve(result.cluster, [20, 21]).tolist() == [7, 7, 20, -1, 21]
        assert resolve(np.array([7, -1], np.int32), []).tolist() == [7, -1]


def keep_generation(directory, number, keep=5):
    labels = np.full(3, number, np.int32)
    generations.save(directory, number, labels, labels.astype(np.float32), {"n": 3}, keep=keep)


class TestGenerations:
    def test_come_back(self, tmp_path):
        """Labels, confidence and meta."""
        keep_generation(tmp_path, 12)
        found = generations.load(tmp_path, 12)
        assert (found.number, found.labels.tolist(), found.meta) == (12, [12] * 3, {"n": 3})
        assert (tmp_path / "generations" / "000000000012").is_dir()

    def test_old_ones_are_pruned(self, tmp_path):
        """Only the newest stay, by number."""
        for number in (9, 10, 11, 8):
            keep_generation(tmp_path, number, keep=3)
        assert generations.numbers(tmp_path) == [11, 10, 9]

    def test_saving_again_replaces(self, tmp_path):
        """A run that is applied again after a crash leaves one generation."""
        keep_generation(tmp_path, 1)
        keep_generation(tmp_path, 1)
        assert generations.numbers(tmp_path) == [1]

    def test_remains_of_a_killed_write_are_cleared(self, tmp_path):
        """They are never taken for a generation, and do not pile up."""
        (tmp_path / "generations" / ".aside-000000000001").mkdir(parents=True)
        keep_generation(tmp_path, 2)
        assert [path.name for path in (tmp_path / "generations").iterdir()] == ["000000000002"]

    def test_newest_leaves_a_damaged_one_out(self, tmp_path):
        """History is a help, not a must."""
        for number in (1, 2, 3):
            keep_generation(tmp_path, number)
        (tmp_path / "generations" / "000000000003" / "labels.npy").write_bytes(b"x")
        assert [found.number for found in generations.newest(tmp_path, 5)] == [2, 1]
        assert [found.number for found in generations.newest(tmp_path, 1)] == [2]
        assert generations.newest(tmp_path / "absent", 2) == []

    def test_one_without_labels_is_named(self, tmp_path):
        """A folder that is whole, but no generation."""
        write_folder(generations.path_of(tmp_path, 7), {"a": np.ones(2)}, {}, durable=False)
        with pytest.raises(CorruptError, match=r"000000000007.*\['a'\]"):
            generations.load(tmp_path, 7)

    def test_an_absent_one_is_named(self, tmp_path):
        """Loading what is not there says where it was looked for."""
        with pytest.raises(CorruptError, match="000000000007"):
            generations.load(tmp_path, 7)


def test_nothing_is_written_where_the_collection_is_not(tmp_path):
    """What its folder lies in is not made: that may be a disk which is not mounted now."""
    with pytest.raises(FileNotFoundError):
        write_folder(tmp_path / "main" / "runs" / "view", {"a": np.ones(2)}, {}, durable=False)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_folder(tmp_path):
    """The new one is only seen when it is whole."""
    folder = tmp_path / "f"
    write_folder(folder, {"a": np.ones(2)}, {}, durable=True)

    def fail(_path):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_folder(folder, {"a": np.zeros(2)}, {}, durable=True, attachments={"b": fail})
    assert read_folder(folder).arrays["a"].tolist() == [1, 1]


def test_a_folder_that_does_not_fit_leaves_the_old_one(tmp_path):
    """Also where nothing but the last bytes of an array find no room."""
    folder, labels = tmp_path / "f", np.arange(500)
    write_folder(folder, {"a": np.ones(2)}, {}, durable=True)
    write_folder(tmp_path / "whole", {"a": labels}, {}, durable=True)
    size = (tmp_path / "whole" / "a.npy").stat().st_size
    with full_disk(size - 1), pytest.raises(OSError, match="File too large") as raised:
        write_folder(folder, {"a": labels}, {}, durable=True)
    assert is_disk_error(raised.value)
    assert read_folder(folder).arrays["a"].tolist() == [1, 1]
