"""Durable files: what must be on the disk before the next step may begin."""

import hashlib
import os
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


def checksum(path: Path) -> str:
    """blake2b-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Write a small file and wait until it is on the disk."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
