"""The interface of the published state, written by one leased worker, read by anyone."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ImageState:
    """What a reader learns about one image.

    `generation` is the run whose result (or whose neighbours' result, if `provisional`) this
    assignment is; an assignment that later runs leave as it was keeps its number.
    """

    cluster: str
    confidence: float
    provisional: bool
    generation: int


@dataclass(frozen=True, slots=True)
class Change:
    """One image moves from cluster `old` (None: new image) to `new` (None: erased)."""

    id: str
    old: str | None
    new: ImageState | None


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """What is published of a cluster beside its members. Sizes are counted by the store.

    `created` is in seconds since 1970; `exemplar` is the id of its most typical image.
    """

    id: str
    created: float
    name: str | None = None
    exemplar: str | None = None


class EventKind(StrEnum):
    """What happened; the field `kind` of an entry of the event stream."""

    ASSIGNED = "assigned"
    ERASED = "erased"
    CREATED = "created"
    MERGED = "merged"
    SPLIT = "split"
    GROWN = "grown"
    RETIRED = "retired"
    GENERATION = "generation"
    NAMED = "named"
    CORRECTED = "corrected"
    UNCORRECTED = "uncorrected"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the stream. `data` holds string fields such as image, cluster, from."""

    kind: EventKind
    data: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Summary:
    """The collection as a whole, as last published."""

    images: int
    clusters: int
    generation: int
    sequence: int
    model: str | None
    dimension: int
    updated: float


@dataclass(frozen=True, slots=True)
class Update:
    """One atomic step of publishing: a reader sees all of it or nothing.

    At most `MAX_CHANGES` changes. `retired` maps a retired cluster to its successor (None: it
    has none). `sequence` grows by one with every update of a collection. Applying an update
    twice leaves the same state as applying it once (events are then seen twice).

    A cluster is live while it has members. What `clusters` says of one is kept until it is
    retired, also while it is empty; an image assigned to a retired cluster brings it back.
    A `generation` of 0, a `model` of None and a `dimension` of 0 leave what is published.
    """

    sequence: int
    changes: Sequence[Change] = ()
    clusters: Sequence[ClusterInfo] = ()
    retired: Mapping[str, str | None] = field(default_factory=dict)
    events: Sequence[Event] = ()
    generation: int = 0
    model: str | None = None
    dimension: int = 0


MAX_CHANGES = 1_000


@dataclass(frozen=True, slots=True)
class Shown:
    """All that readers see of a collection: `images` is read once, while the lease is held."""

    sequence: int
    generation: int
    images: Iterable[tuple[str, ImageState]]
    clusters: Sequence[ClusterInfo]
    retired: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write one collection; every write is fenced by `epoch`."""

    collection: str
    holder: str
    epoch: int


class Layout(Protocol):
    """A whole collection on its way into the store, beside what readers see of it meanwhile."""

    def write(
        self,
        changes: Sequence[Change] = (),
        clusters: Sequence[ClusterInfo] = (),
        retired: Mapping[str, str | None] | None = None,
    ) -> None:
        """Add or change something, at most `MAX_CHANGES` of each; `Change.old` does not matter.

        Readers see nothing of it. Renews the lease; raises as `Store.renew` does.
        """

    def finish(self, update: Update) -> None:
        """Switch readers over to what was written, in one step; `update` is as in `rebuild`."""

    def discard(self) -> None:
        """Forget what was written. Raises as `Store.renew` does."""


class Store(Protocol):
    """The published state of every collection, for its one writer."""

    def acquire(self, collection: str, holder: str, floor: int) -> Lease:
        """Take the lease with an epoch above `floor` and above any epoch the store ever saw.

        Raises `LeaseError` naming the holder while another one holds it, and
        `StoreUnavailableError`. The same `holder` string takes its own lease again at once.
        """

    def renew(self, lease: Lease) -> None:
        """Keep the lease for another `ttl`.

        Raises `LeaseError` if another holder has it or had it since (a greater epoch exists);
        if the store lost all its data, or the lease merely lapsed, it raises `LeaseLapsedError`:
        acquire again. Raises `StoreUnavailableError`.
        """

    def release(self, lease: Lease) -> None:
        """Give the lease up, if it is still ours; never raises for a lost one."""

    def holders(self, collection: str) -> tuple[str | None, str | None]:
        """Who holds the lease now, and who held it last; None for nobody."""

    def evicted(self) -> int | None:
        """How many keys the store has dropped for want of memory since it was started, whoever's.

        None where it does not say. Raises `StoreUnavailableError`.
        """

    def shown(self, collection: str) -> Shown | None:
        """What readers see, None if nothing was ever published. Raises `StoreUnavailableError`,
        also while `Shown.images` is read.
        """

    def sequence(self, collection: str) -> int | None:
        """The sequence number last applied, None if the collection is not in the store."""

    def apply(self, lease: Lease, update: Update) -> None:
        """Publish a difference, and renew the lease.

        `update.sequence` must be the one after the last applied, or the last again; the first
        of a collection is 1. Any other means that the store and the worker do not have the same
        past (it came back from an old backup, say): `LeaseLapsedError`; acquire, compare
        `sequence` and rebuild. Raises as `renew` does; nothing is applied then.
        """

    def rebuild(
        self,
        lease: Lease,
        images: Iterable[tuple[str, ImageState]],
        clusters: Iterable[ClusterInfo],
        retired: Mapping[str, str | None],
        update: Update,
    ) -> None:
        """Publish a whole collection beside the old one and switch readers over in one step.

        `update` carries sequence (any number), generation, model, dimension and events; its
        changes are empty. `images` that has a length is streamed, another is read whole first.
        The lease is renewed with every thousand images. A rebuild that was cut short leaves the
        old state visible. Raises as `renew` does.
        """

    def lay_out(self, lease: Lease, images: int) -> "Layout":
        """As `rebuild`, but in as many steps as the caller likes, with room for `images`.

        One at a time for a collection: the newest is the one that can be finished. Raises as
        `renew` does.
        """

    def crowded(self, collection: str) -> bool:
        """Whether so many images have come that a rebuild would make the store more compact."""

    def sweep(self, lease: Lease) -> None:
        """Remove what rebuilds and layouts that were cut short have left; none may be under way.

        Raises as `renew`.
        """

    def forget(self, lease: Lease, images: Collection[str], after: str | None = None) -> str | None:
        """Delete the events that name one of `images`, among the next few thousand of the stream.

        Returns what to go on with as `after`; None at the end of the stream. Raises as `renew`.
        """

    def put_status(self, lease: Lease, status: Mapping[str, Any]) -> None:
        """Publish what the worker tells of itself, a JSON object. Raises as `renew` does."""

    def stand_by(self, collection: str, told: Mapping[str, Any]) -> None:
        """Publish what a standby tells of itself, a JSON object, which goes after a lease's time.

        Needs no lease, and nothing depends on it. Raises `StoreUnavailableError`.
        """

    def close(self) -> None:
        """Release every connection."""


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What a reader learns about one cluster; `successor` is set once it is retired."""

    id: str
    size: int
    created: float
    name: str | None
    exemplar: str | None
    retired: bool
    successor: str | None


class Reader(Protocol):
    """What anyone may ask; `worker.client.Client` is this over Redis."""

    def get(self, collection: str, ids: Sequence[str]) -> list[ImageState | None]:
        """The state of each image, in the order asked; None for an unknown id."""

    def cluster(self, collection: str, cluster: str) -> ClusterState | None:
        """One cluster, also a retired one; None if it never was."""

    def members(self, collection: str, cluster: str) -> list[str]:
        """The image ids of a cluster, sorted; empty if there is none."""

    def clusters(self, collection: str, limit: int | None = None) -> list[ClusterState]:
        """The live clusters, largest first, then by id."""

    def names(self, collection: str, clusters: Sequence[str]) -> list[str | None]:
        """The name that a person gave each cluster, in the order asked; None where it has none."""

    def summary(self, collection: str) -> Summary | None:
        """The collection as a whole, None if unknown."""

    def status(self, collection: str) -> dict[str, Any] | None:
        """What the worker last told of itself by `Store.put_status`, None if nothing.

        Below `standby` what a standby tells of itself, if there is one.
        """

    def collections(self) -> list[str]:
        """Every collection that was ever published, sorted."""

    def events(
        self, collection: str, after: str = "$", block_seconds: float | None = None
    ) -> Iterator[tuple[str, Event]]:
        """Each event after the entry `after`, with its entry id to go on from later.

        "0" starts at the oldest kept, "$" with the next to come. Waits for more, at most
        `block_seconds` at a time, and ends when none came; None: waits for ever.
        """
