"""Raw bytes of a file, searched a part at a time: the file may be shortened meanwhile."""

from collections.abc import Callable, Iterator
from pathlib import Path

IsPart = Callable[[bytes, int], bool]

_PART_BYTES = 1 << 24
# What `is_part` sees around a place, at least.
_CONTEXT_BYTES = 1 << 13


def places(path: Path, pattern: bytes, is_part: IsPart = lambda _part, _at: False) -> list[int]:
    """Where in a file `pattern` is, save where it is a part of something else, as `is_part` says of
    a part of the file and a place in it.

    Raises OSError.
    """
    return [
        base + at
        for base, window, low, high in _windows(path, len(pattern) + _CONTEXT_BYTES)
        for at in every(window, pattern)
        if low <= at < high and not is_part(window, at)
    ]


def every(text: bytes, pattern: bytes) -> Iterator[int]:
    """Where in `text` the pattern is, rising."""
    at = text.find(pattern)
    while at >= 0:
        yield at
        at = text.find(pattern, at + 1)


def _windows(path: Path, margin: int) -> Iterator[tuple[int, bytes, int, int]]:
    """Parts of a file that overlap: where each begins, its bytes, and from where to where in it a
    match has to begin, so that each is met once with `margin` bytes on both sides.
    """
    with path.open("rb") as file:
        base, window, low = 0, file.read(_PART_BYTES), 0
        while window:
            more = file.read(_PART_BYTES)
            high = len(window) - (margin if more else 0)
            yield base, window, low, high
            if not more:
                return
            cut = max(0, high - margin)
            base, window, low = base + cut, window[cut:] + more, high - cut
