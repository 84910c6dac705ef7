"""Options of the form FILE=TEXT, of commands that take several files."""

from collections.abc import Sequence
from pathlib import Path


def of_file(option: str, files: Sequence[Path]) -> tuple[Path, str] | None:
    """The file and the text of an option; None where it names none of `files`.

    Both may contain "=", and the file may be written in any way that is the same path.
    """
    ends = (place for place, letter in enumerate(option) if letter == "=")
    end = next((end for end in ends if Path(option[:end]) in files), None)
    return None if end is None else (Path(option[:end]), option[end + 1 :])
