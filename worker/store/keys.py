"""The names of the Redis keys of one collection. docs/redis.md says what each holds."""

import re
from dataclasses import dataclass, field
from zlib import crc32

from worker.errors import SettingsError

_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,127}")
_PREFIX = re.compile(r"[^{}\s]{1,64}")

# Eight times as many may come before all is laid out anew.
TARGET_PER_BUCKET = 12
# Redis packs a hash of up to 128 fields into one listpack. With 96 fields on average one bucket
# in two thousand is above that; with 128 on average every other one would be.
CROWDED_PER_BUCKET = 96
MIN_BUCKETS = 16


def buckets_for(images: int) -> int:
    """The number of buckets to lay out for that many images."""
    return max(MIN_BUCKETS, -(-images // TARGET_PER_BUCKET))


def is_crowded(images: int, buckets: int) -> bool:
    """Whether so many images have come since the buckets were laid out that they are too full."""
    return images > CROWDED_PER_BUCKET * buckets


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a collection that stay where they are; raises `SettingsError` for a bad name."""

    prefix: str
    collection: str

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise SettingsError(
                f"redis_prefix: {self.prefix!r}: must be 1 to 64 characters, no braces,"
                " no white space"
            )
        if not _COLLECTION.fullmatch(self.collection):
            raise SettingsError(
                f"collection: {self.collection!r}: must match {_COLLECTION.pattern}"
            )

    @property
    def tag(self) -> str:
        """What every key of the collection starts with; the braces put them in one slot."""
        return f"{self.prefix}:{{{self.collection}}}"

    @property
    def lease(self) -> str:
        """String: the holder; expires when it does not renew."""
        return f"{self.tag}:lease"

    @property
    def writer(self) -> str:
        """Hash: epoch and holder of the last lease; never expires."""
        return f"{self.tag}:writer"

    @property
    def meta(self) -> str:
        """Hash: the live space and the collection as a whole."""
        return f"{self.tag}:meta"

    @property
    def spaces(self) -> str:
        """Hash: bookkeeping of rebuilds."""
        return f"{self.tag}:spaces"

    @property
    def events(self) -> str:
        """Stream of what happened."""
        return f"{self.tag}:events"

    @property
    def status(self) -> str:
        """String: what the worker tells of itself, a JSON object."""
        return f"{self.tag}:status"

    @property
    def standby(self) -> str:
        """String: what a standby tells of itself, a JSON object; expires when it does not renew."""
        return f"{self.tag}:standby"


@dataclass(frozen=True, slots=True)
class Space:
    """The keys that a rebuild replaces, in one numbered space with a fixed number of buckets."""

    keys: Keys
    number: int
    buckets: int
    tag: str = field(init=False, repr=False, compare=False)
    """What every key of the space starts with."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tag", f"{self.keys.tag}:g{self.number}")

    @property
    def sizes(self) -> str:
        """Sorted set: live cluster by size."""
        return f"{self.tag}:sizes"

    @property
    def info(self) -> str:
        """Hash: cluster to a JSON object with created, name and exemplar."""
        return f"{self.tag}:info"

    @property
    def retired(self) -> str:
        """Hash: retired cluster to its successor, or an empty string."""
        return f"{self.tag}:retired"

    def bucket(self, number: int) -> str:
        """Hash: image to its state, for the images whose CRC-32 falls on `number`."""
        return f"{self.tag}:b:{number}"

    def bucket_of(self, image: str) -> str:
        """The bucket that holds `image`."""
        return self.bucket(crc32(image.encode()) % self.buckets)

    def members(self, cluster: str) -> str:
        """Set: the images of a cluster."""
        return f"{self.tag}:m:{cluster}"


def collections_key(prefix: str) -> str:
    """Set: every collection ever published; of no collection, hence of any slot."""
    return f"{prefix}:collections"
