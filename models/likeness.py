"""A second opinion on every merge: how alike its sides are, by the vectors alone.

The networks are too sure of encoders that they did not learn from, and the mean centred cosine
at which a merge is as likely right as wrong is much the same for any encoder. Both opinions are
weighed in log odds; of kinds, which need not look alike, the networks alone are heard:
docs/decisions/0119.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.conditions import are_kinds
from models.context import CollectionContext
from models.kernels.likeness import EPSILON, write_cosines
from models.tree import MergeTree
from models.view import View

Floats = NDArray[np.float64]

# What the log odds of the networks count, and what they do alone (0106).
BELIEVED = 0.6
BELIEVED_ALONE = 0.7
# What the mean centred cosine adds to them, from where it speaks for neither.
WEIGHT = 1.5
EVEN = 0.55
# Float32 answers nearer to 0 or 1 than this are rounded.
LEAST_DOUBT = 1e-7


def weighed(tree: MergeTree, view: View, context: CollectionContext) -> MergeTree:
    """The same merges, as likely as both opinions have it."""
    q = tree.probability.clip(LEAST_DOUBT, 1 - LEAST_DOUBT)
    odds = np.log(q / (1 - q))
    if are_kinds(context.conditions):
        odds = BELIEVED_ALONE * odds
    else:
        odds = BELIEVED * odds + WEIGHT * (merge_cosines(tree, view, context.mean) - EVEN)
    return replace(tree, probability=1 / (1 + np.exp(-odds)))


def merge_cosines(tree: MergeTree, view: View, mean: NDArray[np.float32]) -> Floats:
    """The mean cosine of rows of the one side of each merge with rows of the other [M], after
    `mean` [d] was taken from them.
    """
    if view.device.type != "cpu":
        return tensor_cosines(tree, view.vectors, mean)
    vectors = view.vectors.numpy()
    merged = np.empty((len(vectors) // 2 + 1, len(mean)), np.float32)
    cosine = np.empty(len(tree.left))
    write_cosines(tree.left, tree.right, vectors, mean, merged, cosine)
    return cosine


def tensor_cosines(tree: MergeTree, vectors: Tensor, mean: NDArray[np.float32]) -> Floats:
    """`merge_cosines` on any device, level by level."""
    total = torch.empty(tree.leaves + len(tree.left), vectors.shape[1], device=vectors.device)
    torch.sub(vectors, torch.from_numpy(mean).to(vectors.device), out=total[: tree.leaves])
    total[: tree.leaves] /= total[: tree.leaves].norm(dim=1, keepdim=True) + float(EPSILON)
    left, right = (torch.from_numpy(side).to(vectors.device) for side in (tree.left, tree.right))
    dot = torch.empty(len(tree.left), device=vectors.device)
    for level in tree.levels():
        a, b = total[left[level]], total[right[level]]
        dot[level] = (a * b).sum(dim=1)
        total[tree.leaves + level.start : tree.leaves + level.stop] = a + b
    size = tree.sizes(np.ones(tree.leaves, np.int32))
    return dot.cpu().numpy() / (size[tree.left] * size[tree.right])
