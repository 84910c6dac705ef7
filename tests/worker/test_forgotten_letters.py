"""What a purge does to the dead letters of a file, which may have been damaged since."""

import base64
import errno
import json
import os

import numpy as np
import pytest

from worker.dead_letters.base import DeadLetter
from worker.dead_letters.file import FileDeadLetters, damaged_letters, forget_letters
from worker.decode import FieldNames
from worker.errors import Reason
from worker.records import RawRecord

ERASED = b'{"reason": "erased"}'
# Bits that are flipped, one at a time.
FLIPS = 600


@pytest.fixture
def path(tmp_path):
    return tmp_path / "dead.jsonl"


def letter(image, value=b"no json", collection=b"main"):
    raw = RawRecord("images.jsonl", 7, image.encode(), value, (("collection", collection),), 1.0)
    return DeadLetter(raw, Reason.NOT_JSON, f"value of {image}: no JSON")


def write(path, *letters):
    """Keep letters; the lines."""
    file = FileDeadLetters(path)
    file.send(letters)
    file.close()
    return path.read_bytes().splitlines(keepends=True)


def bare(**changes):
    """The line of a letter of the image `cat` as versions without checksums wrote it."""
    fields = {
        "reason": "not_json",
        "detail": "value: no JSON",
        "partition": "images.jsonl",
        "offset": 0,
        "time": None,
        "key": coded(b"cat"),
        "value": coded(b"no json"),
        "headers": [["collection", coded(b"main")]],
    }
    return json.dumps(fields | changes).encode() + b"\n"


def coded(content):
    return base64.b64encode(content).decode()


def is_blank(text):
    """Whether nothing is left of what `text` was."""
    return not text.replace(ERASED, b"").strip()


def flipped(lines, bit):
    """The file of `lines` with one bit flipped, and the numbers of the lines that it touches."""
    content = bytearray(b"".join(lines))
    content[bit // 8] ^= 1 << bit % 8
    ends = np.cumsum([len(line) for line in lines])
    number = int(np.searchsorted(ends, bit // 8, side="right"))
    ends_line = bit // 8 == ends[number] - 1
    return bytes(content), {number, number + 1} if ends_line else {number}


def test_any_flipped_bit(path):
    """Wherever it is, nothing of an erased image stays, and every letter of another that it does
    not touch.
    """
    erased, *others = (letter("cat"), letter("dog"), letter("cat", collection=b"o"), letter("cow"))
    lines = write(path, others[0], erased, *others[1:])
    starts = np.cumsum([0, *map(len, lines)])
    bits = np.random.default_rng(0).choice(8 * starts[-1], FLIPS, replace=False)
    of_ends = [8 * (end - 1) + bit for end in starts[1:] for bit in range(8)]
    for bit in [*bits.tolist(), *of_ends]:
        content, touched = flipped(lines, int(bit))
        path.write_bytes(content)
        forget_letters(path, "main", ["cat"])
        left = path.read_bytes()
        assert len(left) == starts[-1]
        for number, line in enumerate(lines):
            kept = left[starts[number] : starts[number + 1]]
            if number == 1:
                assert is_blank(kept), bit
            elif number not in touched:
                assert kept == line, bit
        assert damaged_letters(path) == [], bit


@pytest.mark.parametrize(
    "line",
    [
        bare(value=5),
        bare(headers=None),
        bare(headers=[["collection"]]),
        bare(headers=[["collection", coded(b"main").rstrip("=")]]),
        bare(key=coded(b"cat?").rstrip("=")),
        bare().replace(b'"value"', b'"velue"'),
        bare().replace(b'"headers"', b'"header"'),
        bare()[:-20],
        b"17\n",
        b"[1, 2]\n",
        b"no json, and longer than what is said of a letter that was erased\n",
    ],
)
def test_a_line_that_nobody_can_read(path, line):
    """It may be the erased image's, so it goes, and what is beside it stays."""
    [other] = write(path, letter("dog"))
    path.write_bytes(other + line.rstrip(b"\n") + b"\n" + other)
    forget_letters(path, "main", ["cat"])
    first, gone, last = path.read_bytes().splitlines(keepends=True)
    assert (first, last) == (other, other)
    assert is_blank(gone)


def test_lines_without_checksums(path):
    """Of a version that wrote none, letters of other images and collections stay."""
    kept = [bare(key=coded(b"dog")), bare(headers=[["collection", coded(b"other")]])]
    path.write_bytes(b"".join([bare(), *kept]))
    forget_letters(path, "main", ["cat"])
    gone, *left = path.read_bytes().splitlines(keepends=True)
    assert is_blank(gone)
    assert left == kept


def test_a_body_that_is_nested_without_end(path):
    """What a record has does not stop a purge."""
    lines = write(path, letter("cat", value=b"[" * 100_000), letter("dog", value=b"[" * 100_000))
    forget_letters(path, "main", ["cat"])
    gone, left = path.read_bytes().splitlines(keepends=True)
    assert is_blank(gone)
    assert left == lines[1]


def test_overwritten_again_after_a_sync_that_failed(path, monkeypatch):
    """What it was to confirm may never have reached the disk: a later sync alone says nothing."""
    lines = write(path, letter("dog"), letter("cat"))
    pwrite, written = os.pwrite, []

    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def note(file, data, start):
        written.append((start, len(data)))
        return pwrite(file, data, start)

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            forget_letters(path, "main", ["cat"])
    monkeypatch.setattr("os.pwrite", note)
    forget_letters(path, "main", ["cat"])
    assert written == [(len(lines[0]), len(lines[1]) - 1)]


@pytest.mark.parametrize(
    ("value", "headers", "goes"),
    [
        (b'{"photo": {"id": "cat"}, "user": "main"}', (), True),
        (b'{"photo": {"id": "dog"}, "user": "main"}', (), False),
        (b'{"photo": {"id": "cat"}, "user": "other"}', (), False),
        (b'{"photo": {"id": 7}, "user": "main"}', (), True),
        (b'{"photo": {"id": 77}}', (), False),
        (b'{"photo": {}}', (), False),
        (b"...", (("photo.id", b"cat"), ("user", b"main")), True),
        (b"...", (("photo.id", b"dog"), ("user", b"main")), False),
        (b'{"photo": {"id": "cat", "user": "main"', (), True),
        (b'{"photo": {"id": "dog", "user": "main"', (), False),
    ],
)
def test_ids_that_are_no_keys(path, value, headers, goes):
    """They are in the body or in a header, where settings say so; in a body that nobody can read
    they may be anywhere.
    """
    raw = RawRecord("images.jsonl", 7, b"upload-1", value, headers, 1.0)
    lines = write(path, DeadLetter(raw, Reason.BAD_FIELD, "embedding: missing"))
    fields = FieldNames(id="photo.id", collection="user")
    forget_letters(path, "main", ["cat", "7"], fields)
    assert is_blank(path.read_bytes()) is goes
    assert goes or path.read_bytes() == lines[0]
