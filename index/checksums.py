"""The checksums that cover what is on the disk: XXH3, at the speed of memory.

They find damage, not forgery. A file's carries the name of its kind: `xxh128:...`; a bare one is
the blake2b-256 that format 1 wrote.
"""

import hashlib
import os
from collections.abc import Generator
from pathlib import Path

import xxhash

FILE_KIND = "xxh128:"

# What `compare` reads at a time: some ten milliseconds of a slow disk.
SLICE_BYTES = 1 << 20


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


def compare(path: Path, expected: str) -> Generator[int, None, bool]:
    """As `agrees`, in slices: yields the bytes of each once it is read. Raises OSError.

    What nobody else reads does not stay in the system's memory, so that it comes from the disk the
    next time too.
    """
    legacy = not expected.startswith(FILE_KIND)
    digest = hashlib.blake2b(digest_size=32) if legacy else xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        while data := file.read(SLICE_BYTES):
            digest.update(data)
            yield len(data)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return digest.hexdigest() == expected.removeprefix(FILE_KIND)
