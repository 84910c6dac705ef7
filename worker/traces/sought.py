"""What is searched for: an id, and a vector where it is known."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from index.vectors import row_hashes

# A shorter id can stand by chance among the bytes of files that hold numbers.
SURE_BYTES = 8

# The owner of a Redis key that another program made.
FOREIGN = ""

_WORDS = re.compile(r"[^\s;,]+")


@dataclass(frozen=True, slots=True)
class Trace:
    """Something that was found: `where` (a file or a Redis key), `what` (`id`, `vector` or
    `checksum`), and `how` it is there.

    `owner` is the other collection whose file or key it is, `FOREIGN` where it is no key of this
    Shoal, and None for what is the collection's own or shared by all.
    """

    where: str
    what: str
    how: str
    owner: str | None = None


@dataclass(frozen=True)
class Sought:
    """The id, the vectors as they are kept (float32 [d] of unit length) or were sent, and the
    checksums under which the catalog keeps them. `names` are the id as it is, and as JSON has it.
    """

    id: str
    vectors: tuple[bytes, ...] = ()
    checksums: tuple[bytes, ...] = ()
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        forms = (self.id, *(json.dumps(self.id, ensure_ascii=a)[1:-1] for a in (True, False)))
        object.__setattr__(self, "names", tuple(dict.fromkeys(forms)))

    def also(self, vector: NDArray[np.float32]) -> "Sought":
        """The same, and another vector of the image as it is kept."""
        more = sought(self.id, vector)
        return Sought(self.id, self.vectors + more.vectors, self.checksums + more.checksums)

    @property
    def patterns(self) -> list[tuple[str, bytes]]:
        """What to look for among raw bytes, and what each is."""
        return [
            *(("id", name.encode()) for name in self.names),
            *(("vector", content) for content in self.vectors),
            *(("checksum", content) for content in self.checksums),
        ]

    def in_content(self, content: bytes) -> str | None:
        """What of it some bytes hold: as `in_text`, or a vector anywhere in them."""
        named = self.in_text(content.decode(errors="replace"))
        if named is None and any(vector in content for vector in self.vectors):
            return "vector"
        return named

    def in_text(self, text: str) -> str | None:
        """What of it a text names: as a whole, as a string of its JSON, or as a word."""
        sums = {checksum.hex() for checksum in self.checksums}
        for part in _parts(text):
            if part in self.names:
                return "id"
            if part in sums:
                return "checksum"
        return "id" if " " in self.id and self.id in text else None


def sought(id_: str, vector: NDArray[np.float32] | None, sent: bytes = b"") -> Sought:
    """What to search for; `vector` is as the log keeps it, `sent` as somebody else had it."""
    if vector is None:
        return Sought(id_)
    kept = vector.astype("<f4").tobytes()
    vectors = tuple(dict.fromkeys(content for content in (kept, sent) if content))
    return Sought(id_, vectors, tuple(row_hashes(vector[None])))


def times(count: int) -> str:
    """How often, as a person says it."""
    return "once" if count == 1 else f"{count:,} times"


def _parts(text: str) -> Iterator[str]:
    yield text
    try:
        yield from _strings(json.loads(text))
    except (ValueError, RecursionError):
        for word in _WORDS.findall(text):
            yield word
            yield word.strip("'\":")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
