import errno
import os
import shutil


def keep_damaged(monkeypatch):
    """The disk does not let go what a repair kept."""
    removed = shutil.rmtree

    def refused(path, **options):
        if path.name != ".damaged":
            return removed(path, **options)
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr("index.aside.shutil.rmtree", refused)
