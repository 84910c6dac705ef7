"""What the fake store keeps of one collection."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from worker.store.base import (
    Change,
    ClusterInfo,
    ClusterState,
    ImageState,
    Shown,
    Summary,
    Update,
)
from worker.store.codec import decode_state, encode_state


@dataclass
class Published:
    """The published state of one collection in memory."""

    images: dict[str, ImageState] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    info: dict[str, ClusterInfo] = field(default_factory=dict)
    retired: dict[str, str | None] = field(default_factory=dict)
    summary: Summary = field(default_factory=lambda: Summary(0, 0, 0, 0, None, 0, 0.0))

    @property
    def live(self) -> dict[str, set[str]]:
        """The members of every live cluster."""
        return {c: ids for c, ids in self.members.items() if ids and c not in self.retired}

    def write(
        self,
        changes: Iterable[Change],
        clusters: Iterable[ClusterInfo],
        retired: Mapping[str, str | None],
    ) -> None:
        """Write a difference; the last change of an image counts."""
        for image, state in {change.id: change.new for change in changes}.items():
            before = self.images.pop(image, None)
            if before is not None:
                self.members[before.cluster].discard(image)
            if state is not None:
                self.images[image] = decode_state(encode_state(state))
                self.members.setdefault(state.cluster, set()).add(image)
                self.retired.pop(state.cluster, None)
        for info in clusters:
            self.info[info.id] = info
            self.retired.pop(info.id, None)
        for cluster, successor in retired.items():
            self.retired[cluster] = successor
            self.info.pop(cluster, None)

    def shown(self) -> Shown:
        """All that readers see."""
        infos = [self.info.get(name) or ClusterInfo(name, 0.0) for name in {*self.live, *self.info}]
        return Shown(
            self.summary.sequence,
            self.summary.generation,
            list(self.images.items()),
            sorted(infos, key=lambda info: info.id),
            dict(self.retired),
        )

    def describe(self, update: Update, now: float) -> None:
        """Renew the summary."""
        self.summary = Summary(
            images=len(self.images),
            clusters=len(self.live),
            generation=update.generation or self.summary.generation,
            sequence=update.sequence,
            model=update.model or self.summary.model,
            dimension=update.dimension or self.summary.dimension,
            updated=now,
        )

    def cluster(self, cluster: str) -> ClusterState | None:
        """What readers learn of a cluster."""
        size = len(self.members.get(cluster, ()))
        if not size and cluster not in self.info and cluster not in self.retired:
            return None
        info = self.info.get(cluster) or ClusterInfo(cluster, 0.0)
        gone = cluster in self.retired
        successor = self.retired.get(cluster)
        return ClusterState(cluster, size, info.created, info.name, info.exemplar, gone, successor)
