"""What a source delivers (`RawRecord`) and what decoding makes of it (`Upsert`, `Erase`)."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record as the source has it.

    `partition` names the source partition for good (`images/3` for Kafka, the path of a file);
    `offset` grows within it by at least one per record. `time` is when it was produced, in
    seconds since 1970, or None.
    """

    partition: str
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Upsert:
    """A new image, or a new embedding of a known one. `embedding` is float32 [d], unit length."""

    collection: str
    id: str
    embedding: Vector = field(compare=False)
    model: str | None = None
    group: str | None = None
    uri: str | None = None
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Erase:
    """The image is to be forgotten."""

    collection: str
    id: str


Record = Upsert | Erase
