"""The small files beside the collections: who holds the leases, the last backup, what was asked,
and the dead letters of files. Each carries its checksum; no image is lost with one, and a start
does without it.
"""

from collections.abc import Iterator
from pathlib import Path

from index.findings import Finding, Harm, Part
from worker.backup.last import FOLDER as BACKUP
from worker.backup.last import LAST, read_last
from worker.connections import letters_path
from worker.dead_letters.file import damaged_letters, drop_damaged
from worker.errors import CorruptError
from worker.holder import FILE as HOLDER
from worker.holder import read_part
from worker.requests import damaged_requests


def verify_beside(data_dir: Path) -> Iterator[Finding]:
    """What of them is not what was written. Reads only. Raises `OSError`."""
    try:
        read_part(data_dir / HOLDER)
    except CorruptError as error:
        yield Finding(Part.HOLDER, Harm.SPARE, data_dir / HOLDER, str(error))
    last = data_dir / BACKUP / LAST
    if last.exists():
        try:
            read_last(last)
        except CorruptError as error:
            yield Finding(Part.BACKUP, Harm.SPARE, last, str(error))
    for path in damaged_requests(data_dir):
        yield Finding(Part.REQUEST, Harm.SPARE, path, "a request that is not what was written")
    letters = letters_path(data_dir)
    if letters.exists():
        for number in damaged_letters(letters):
            yield Finding(Part.LETTERS, Harm.SPARE, letters, f"line {number} is not whole")


def repair_beside(data_dir: Path) -> list[str]:
    """Remove what is damaged; what was done, in words. Raises `OSError`."""
    done = []
    for finding in list(verify_beside(data_dir)):
        name = finding.path.relative_to(data_dir)
        if finding.part is Part.LETTERS:
            done.append(f"{name}: {finding.what}: removed; the source has its record")
        else:
            finding.path.unlink()
            done.append(f"{name}: removed")
    letters = letters_path(data_dir)
    if letters.exists() and damaged_letters(letters):
        drop_damaged(letters)
    return done
