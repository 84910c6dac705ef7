"""Folders that are removed, and disks that keep them."""

import errno
import os

import pytest

from index import remove_tree


@pytest.fixture
def folder(tmp_path):
    """A folder with a file in a folder."""
    inner = tmp_path / "run" / "view"
    inner.mkdir(parents=True)
    (inner / "labels.npy").touch()
    return tmp_path / "run"


def test_removes_all_of_a_folder(folder):
    """And is content where there is none."""
    remove_tree(folder)
    remove_tree(folder)
    assert not folder.exists()


def test_a_disk_that_keeps_it_is_told(folder, monkeypatch):
    """The disk's own error is raised, and the next attempt removes the rest."""

    def keeps(*_args, **_options):
        raise OSError(errno.EIO, "the disk keeps it")

    with monkeypatch.context() as disk:
        disk.setattr(os, "unlink", keeps)
        with pytest.raises(OSError, match="the disk keeps it"):
            remove_tree(folder)
    remove_tree(folder)
    assert not folder.exists()
