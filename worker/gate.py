"""R7: whether a run may be published by itself, or waits for a person."""

from collections.abc import Iterator
from dataclasses import dataclass

from worker.drift import Drift


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Beyond these a run is held. Shares in 0..1; `max_count_factor` is a ratio above 1.

    `min_images`: a collection with fewer settled images (placed by the full run before) is never
    held, nor one whose largest cluster has fewer.
    """

    max_changed_share: float = 0.5
    max_largest_share: float = 0.5
    max_count_factor: float = 4.0
    min_images: int = 1_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """`held` runs wait for `shoal publish` or `shoal discard`; `reasons` say why, for a person."""

    held: bool
    reasons: tuple[str, ...] = ()


def decide(drift: Drift, settings: GateSettings) -> Verdict:
    """Judge a run by what it does to the images that the full run before had placed.

    Without a full run before there are no such images, and nothing is held. A cluster that was
    beyond the limit before this run is no reason to hold it. A pure function.
    """
    if drift.settled_images < max(settings.min_images, 1):
        return Verdict(held=False)
    reasons = tuple(_reasons(drift, settings))
    return Verdict(held=bool(reasons), reasons=reasons)


def _reasons(drift: Drift, settings: GateSettings) -> Iterator[str]:
    if drift.changed_share > settings.max_changed_share:
        yield (
            f"it would move {drift.changed_share:.1%} of {drift.settled_images:,} settled images"
            f" to another cluster (limit {settings.max_changed_share:.1%})"
        )
    largest = round(drift.largest_share * drift.images)
    if (
        drift.largest_share > settings.max_largest_share
        and drift.largest_share_before <= settings.max_largest_share
        and largest >= settings.min_images
    ):
        yield (
            f"its largest cluster would hold {largest:,} of {drift.images:,} images,"
            f" {drift.largest_share:.1%}, up from {drift.largest_share_before:.1%}"
            f" (limit {settings.max_largest_share:.1%})"
        )
    before, after = drift.clusters_before, drift.clusters_after
    factor = max(after / before, before / after)
    if factor > settings.max_count_factor:
        direction = "more" if after > before else "fewer"
        yield (
            f"the settled images would go from {before:,} to {after:,} clusters,"
            f" {factor:.1f} times {direction} (limit {settings.max_count_factor:.1f})"
        )
