"""The checksums that cover what is on the disk: XXH3, at the speed of memory.

They find damage, not forgery. A file's carries the name of its kind: `xxh128:...`; a bare one is
the blake2b-256 that format 1 wrote.
"""

import hashlib
from pathlib import Path

import xxhash

FILE_KIND = "xxh128:"


def checksum(data: bytes | bytearray | memoryview) -> int:
    """XXH3-64 of some bytes; 0 <= value < 2^64."""
    return int(xxhash.xxh3_64_intdigest(data))


def text_checksum(data: bytes) -> str:
    """XXH3-128 of some bytes, with its kind."""
    return FILE_KIND + xxhash.xxh3_128_hexdigest(data)


def file_checksum(path: Path) -> str:
    """XXH3-128 of a file's bytes, with its kind. Raises OSError."""
    with path.open("rb") as file:
        return FILE_KIND + hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def agrees(path: Path, expected: str) -> bool:
    """Whether a file has the checksum `expected`, of either kind. Raises OSError."""
    if expected.startswith(FILE_KIND):
        return file_checksum(path) == expected
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
    return found == expected
