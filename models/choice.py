"""Which cut to publish, by rule: the one of largest expected F, near the size that is told."""

from dataclasses import dataclass

import numpy as np

from models.prospects import Prospects

# What it costs in F, in the choice of a cut, to be a factor of e off the size looked for: a part of
# the size told, since a cut finds no group whole (docs/decisions/0105).
OFF_COST, FOUND = 0.15, 0.75
# What it costs a run that expects nothing of itself to have clusters that are a factor of e larger
# than usual, and a surer run less: docs/decisions/0111.
LARGE_COST = 1.5
# Where no size is told no cut of a smaller lambda is considered, save of kinds:
# docs/decisions/0119.
LEAST_LIKELY = 0.375
# The method of a cut for which average linkage found the size of groups.
LINKED = "hi-lander sized by linkage"


@dataclass(frozen=True, slots=True)
class Choice:
    """The cut to publish: its `lam`, the pairwise F that its merges promise, 0..1, and how it was
    found and why.
    """

    lam: float
    f: float
    method: str = "hi-lander"
    reason: str = ""


# Where no two rows came near a merge, all cuts are one and leave nothing to doubt.
NO_CHOICE = Choice(lam=0.5, f=1.0)


def surest(family: Prospects, usual: float, least: float = 0.0) -> Choice:
    """The cut of the largest expected pairwise F, with a lambda of `least` or more; larger clusters
    than `usual` need a sure run.

    `usual` images in a typical image's cluster are not held against a cut. A factor of e more costs
    LARGE_COST of the square of what the largest expected F lacks to 1.
    """
    doubt = 1 - family.f.max()
    over = np.log(np.maximum(family.seen / usual, 1.0))
    worth = family.f - LARGE_COST * doubt**2 * over
    return _at(family, int(np.where(family.lam >= least, worth, -np.inf).argmax()))


def near_size(family: Prospects, size: float) -> Choice:
    """The cut of the largest expected F, less what its clusters are off the `size` told.

    Where a typical image's group has `size` images, its cluster should have FOUND of them; a factor
    of e costs OFF_COST.
    """
    off = np.log(family.seen / (FOUND * size))
    return _at(family, int((family.f - OFF_COST * off**2).argmax()))


def as_large_as(family: Prospects, size: float) -> Choice:
    """The cut in which a typical image's cluster is nearest to `size` images, by ratio."""
    return _at(family, int(np.abs(np.log(family.seen / size)).argmin()))


def _at(family: Prospects, place: int) -> Choice:
    return Choice(lam=float(family.lam[place]), f=float(family.f[place]))
