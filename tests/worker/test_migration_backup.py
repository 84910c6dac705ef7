"""A backup has the second index of a collection that migrates."""

import pytest

from index.findings import Harm
from worker.backup.kept import look
from worker.backup.move import move
from worker.backup.restore import restore, restore_collection
from worker.backup.take import back_up
from worker.backup.target import FolderTarget
from worker.errors import DataDirectoryError, RetryError
from worker.verify import verify

NEW = "clip-large"


def send(bench, axis, numbers):
    """Photos as the other model sees them."""
    for number in numbers:
        bench.send(f"a{number}", axis(5, dimension=12, tilt=number / 40), model=NEW)


@pytest.fixture
def half(bench, axis):
    """A migration that has half of its images."""
    for number in range(20):
        bench.send(f"a{number}", axis(0, tilt=number / 50), model="clip-small")
    bench.run()
    bench.alone().migrate("main", ("to", NEW, ""))
    send(bench, axis, range(10))
    bench.run()
    return bench


@pytest.mark.parametrize("way", ["restored", "one restored", "moved"])
def test_it_goes_on_elsewhere(half, axis, tmp_path, way):
    """Restored or moved, it needs no image again that it had."""
    before = [state.cluster for state in half.states("a0", "a15")]
    target, again = FolderTarget(tmp_path / "backups"), tmp_path / "again"
    if way == "moved":
        moved = move("main", half.path, again)
        assert list((half.path / "collections").iterdir()) == []
    else:
        taken = back_up(half.path, target, keep=1)
        assert (taken.collections, taken.images) == (1, 20)
        backup = look(target).find(None)
        one = way == "one restored"
        moved = (
            restore_collection(target, backup, "main", again)
            if one
            else restore(target, backup, again)
        )
    assert moved.collections == {"main": 20}
    assert verify(again).harm is Harm.NONE
    send(half, axis, range(10, 20))
    half.run(data_dir=str(again))
    assert half.store.summary("main").model == NEW
    assert [path.name for path in (again / "collections").iterdir()] == ["main"]
    assert [state.cluster for state in half.states("a0", "a15")] == before


class TestInTheSwitch:
    """Its process was killed between the two renames, and no start has ended it yet."""

    @pytest.fixture
    def cut(self, half, tmp_path):
        """A data directory in that state, and a backup from before."""
        target = FolderTarget(tmp_path / "backups")
        back_up(half.path, target, keep=1)
        collections = half.path / "collections"
        (collections / "main").rename(collections / ".former-main")
        return half.path, target

    def test_no_backup_without_the_collection(self, cut):
        """It would be under no name."""
        data_dir, target = cut
        before = look(target).find(None)
        with pytest.raises(RetryError, match="'main': its index"):
            back_up(data_dir, target, keep=1)
        assert look(target).find(None) == before

    def test_restored_beside_others(self, cut):
        """The collection is there already, by its second index."""
        data_dir, target = cut
        with pytest.raises(DataDirectoryError, match="there already"):
            restore_collection(target, look(target).find(None), "main", data_dir)
        assert [path.name for path in (data_dir / "collections").iterdir()] == ["main"]

    def test_moved(self, cut, tmp_path):
        """What moves is what the next start would have served."""
        data_dir, _ = cut
        assert move("main", data_dir, tmp_path / "to").collections == {"main": 10}
