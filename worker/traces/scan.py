"""Raw bytes of a file, searched a part at a time: the file may be shortened meanwhile."""

from collections.abc import Collection, Iterator
from pathlib import Path

_PART_BYTES = 1 << 24
# Longest text that a match may be a part of.
_CONTEXT_BYTES = 1 << 13


def places(path: Path, pattern: bytes, longer: Collection[bytes] = ()) -> list[int]:
    """Where in a file `pattern` is, save where it is a part of one of the texts `longer`.

    Raises OSError.
    """
    shapes = {(at, len(text)) for text in longer for at in _all(text, pattern)}
    texts = frozenset(longer)
    return [
        base + at
        for base, window, low, high in _windows(path, len(pattern) + _CONTEXT_BYTES)
        for at in _all(window, pattern)
        if low <= at < high
        and not any(at >= k and window[at - k : at - k + size] in texts for k, size in shapes)
    ]


def _all(text: bytes, pattern: bytes) -> Iterator[int]:
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
