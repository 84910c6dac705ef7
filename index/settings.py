"""How a collection is indexed."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class IndexSettings:
    """How one `CollectionIndex` searches. With another `k`, `m` or `ef_construction` it is rebuilt.

    `k` neighbours are kept for every row. `m`, `ef_construction` and `ef_search` are those of the
    HNSW paper (Malkov and Yashunin, 2016). `threads` 0 means every core this process may use.
    """

    k: int = 30
    m: int = 16
    ef_construction: int = 100
    ef_search: int = 64
    threads: int = 0
    snapshots_kept: int = 2

    def __post_init__(self) -> None:
        for name, lowest in (
            ("k", 1),
            ("m", 2),
            ("ef_construction", 1),
            ("ef_search", 1),
            ("threads", 0),
            ("snapshots_kept", 1),
        ):
            value = getattr(self, name)
            if value < lowest:
                raise ValueError(f"{name} is {value}; it must be at least {lowest}")

    def threads_used(self) -> int:
        """`threads`, or the number of cores this process may use."""
        return self.threads or len(os.sched_getaffinity(0))
