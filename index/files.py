"""Durable files: what must be on the disk before the next step may begin."""

import os
import shutil
from pathlib import Path

from index.disk import waiting_for


def sync(path: Path) -> None:
    """Block until the file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with waiting_for(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a folder and all in it, if it is there. Raises OSError where the disk keeps it."""
    if path.exists():
        shutil.rmtree(path)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a small file and wait until it is on the disk."""
    data = content.encode() if isinstance(content, str) else content
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, content: bytes) -> None:
    """Put a small file in the place of another, durably: at any time one of them is there whole."""
    aside = path.with_name(f".{path.name}.new")
    write_whole(aside, content)
    aside.replace(path)
    sync(path.parent)
