"""Retired clusters that come back, as when a wrong merge comes apart again."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.recluster.overlap import Ints, dense, overlap


def find_returns(
    history: Sequence[NDArray[np.int32]], old: Ints, new: Ints, counts: Ints, numbers: Ints
) -> dict[int, int]:
    """New clusters that are a retired one again: {new index: retired number}.

    `history` holds former labels [n] (-1: none), newest first; `old` and `new` [n] index the
    clusters of now and of the run, `numbers` are the numbers of `old`. Seen with the images
    that a former generation knew, a retired cluster R is back as the new cluster Y if

    * more than half of R is in Y, and more than half of Y was in R, and
    * every old cluster has a weaker claim on Y than the images that R and Y share. The claim of
      an old cluster A is its images in Y; but where most of A's images that are not R's lie
      outside of Y, A lives on there, and R's images in A are left out.

    So a merge that stays as it is brings nobody back, and one that comes apart gives both
    sides their numbers again, whichever is larger. The newest generation that knows R decides.
    """
    found: dict[int, int] = {}
    top = max((int(labels.max(initial=-1)) for labels in history), default=-1)
    seen = np.zeros(top + 1, np.bool_)
    seen[numbers[numbers <= top]] = True
    for labels in history:
        alive = (labels >= 0) & (counts > 0) & (new >= 0)
        fresh = alive.copy()
        fresh[alive] = ~seen[labels[alive]]
        if fresh.any():
            for group, number in _in_one(labels, alive, fresh, old, new, counts).items():
                found.setdefault(group, number)
            seen[labels[fresh]] = True
    return found


def _in_one(
    labels: NDArray[np.int32],
    alive: NDArray[np.bool_],
    fresh: NDArray[np.bool_],
    old: Ints,
    new: Ints,
    counts: Ints,
) -> dict[int, int]:
    known = np.where(alive, counts, 0)
    groups = int(new.max(initial=-1)) + 1
    olds = int(old.max(initial=-1)) + 1
    former, names = dense(labels, fresh)
    shared = overlap(former, new, known, (len(names), groups))
    of_group = np.bincount(new[alive], known[alive], groups).astype(np.int64)
    mostly = (2 * shared.images > shared.left_size[shared.left]) & (
        2 * shared.images > of_group[shared.right]
    )
    candidate, target, images = shared.left[mostly], shared.right[mostly], shared.images[mostly]
    home = np.full(len(names), -1, np.int64)
    home[candidate] = target
    claims = _claims(former, home, old, new, known, (olds, groups))
    back = images > claims[target]
    return dict(zip(target[back].tolist(), names[candidate[back]].tolist(), strict=True))


def _claims(
    former: Ints, home: Ints, old: Ints, new: Ints, counts: Ints, shape: tuple[int, int]
) -> Ints:
    """The strongest claim of an old cluster on each new one to which a candidate returns.

    `former` [n] indexes the retired clusters, `home` the new cluster each returns to (-1: none).
    """
    olds, groups = shape
    guest = np.full(groups, -1, np.int64)
    guest[home[home >= 0]] = np.flatnonzero(home >= 0)
    table = overlap(old, new, counts, shape)
    wanted = guest[table.right] >= 0
    here, there, images = table.left[wanted], table.right[wanted], table.images[wanted]
    returning = np.where(former >= 0, home[former], -1)
    all_of = overlap(old, former, counts, (olds, len(home)))
    in_home = overlap(old, np.where(returning == new, former, -1), counts, (olds, len(home)))
    own = table.left_size[here] - all_of.at(here, guest[there])
    own_here = images - in_home.at(here, guest[there])
    leaves = (own > 0) & (2 * own_here <= own)
    claims = np.zeros(groups, np.int64)
    np.maximum.at(claims, there, np.where(leaves, own_here, images))
    return claims
