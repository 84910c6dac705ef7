"""The name under which the worker of a data directory holds its leases."""

import re
import socket
import uuid
from pathlib import Path

from index.checksums import text_checksum
from worker.errors import CorruptError

FILE = "holder"
_PART = "[0-9a-f]{8}"


def holder(data_dir: Path) -> str:
    """The name for the worker of a locked data directory: host, folder, and a random part.

    That part is kept in the folder: a worker that was killed takes its own leases again at once,
    and nobody else's. One that is damaged is made anew; the leases then have to lapse first.
    """
    file = data_dir / FILE
    try:
        kept = read_part(file)
    except CorruptError:
        kept = None
    if kept is None:
        kept = uuid.uuid4().hex[:8]
        file.write_text(f"{kept} {text_checksum(kept.encode())}\n")
    return f"{socket.gethostname()}:{data_dir.resolve()}#{kept}"


def read_part(file: Path) -> str | None:
    """The random part that is kept in `file`, None if there is none yet.

    Raises `CorruptError` where it is not what was written. Earlier versions kept no checksum.
    """
    content = file.read_bytes() if file.exists() else b""
    kept, space, _ = content.decode(errors="replace").rstrip("\n").partition(" ")
    if not content:
        return None
    sealed = f"{kept} {text_checksum(kept.encode())}\n".encode()
    if not re.fullmatch(_PART, kept) or (space and content != sealed):
        raise CorruptError(f"{file}: its content is not that of its checksum")
    return kept
