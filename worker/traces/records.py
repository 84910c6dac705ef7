"""Records of SQLite's file format, as far as it takes to tell an id from a part of a longer one.

A record is a header (its own length, then a *serial type* for each column) and the columns one
after another, without anything between them: `photo-1` before a number that begins with the byte
`7` looks like `photo-17`, save for the serial type. https://www.sqlite.org/fileformat2.html
"""

from collections.abc import Collection, Iterator

from worker.traces.scan import every

# A header begins at most so far before a column, here: after an id, a group and their header.
_REACH_BYTES = 1_024
_LONGEST_HEADER = 127
_NUMBER_BYTES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)
_TEXT = 13


class Longer:
    """Texts of a database that have `pattern` in them."""

    def __init__(self, texts: Collection[bytes], pattern: bytes) -> None:
        self._texts = frozenset(texts)
        self._shapes = {(at, len(text)) for text in texts for at in every(text, pattern)}

    def have(self, page: bytes, at: int) -> bool:
        """Whether what is in `page` at this place is a part of one of them, in a record."""
        return any(
            at >= before
            and page[at - before : at - before + size] in self._texts
            and is_text(page, at - before, size)
            for before, size in self._shapes
        )


def is_text(page: bytes, start: int, size: int) -> bool:
    """Whether a record before `start` says that a text of `size` bytes begins there."""
    for head in range(start - 1, max(-1, start - _REACH_BYTES), -1):
        length = page[head]
        if length > _LONGEST_HEADER or head + length > start:
            continue
        place = head + length
        for kind in _varints(page[head + 1 : head + length]):
            if place == start and kind == _TEXT + 2 * size:
                return True
            place += _NUMBER_BYTES[kind] if kind < len(_NUMBER_BYTES) else (kind - 12) // 2
            if place > start:
                break
    return False


def _varints(content: bytes) -> Iterator[int]:
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            yield value
            value = 0
