"""Cuts through a merge tree: `models.cut` as loops over merges, children before parents."""

import numpy as np

from models.kernels.compiled import Array, compiled


@compiled
def best_antichain(left: Array, right: Array, gain: Array, leaves: int) -> Array:
    """The published node above (or at) each node, -1 above the cut: int64 [leaves + M].

    Of all antichains that cover the leaves it has the largest sum of `gain` [M] over the merges
    below or at its nodes; of equal ones it is the coarsest.
    """
    nodes = leaves + len(gain)
    whole, best = np.zeros(nodes), np.zeros(nodes)
    top = np.full(nodes, -1)
    for merge in range(len(gain)):
        node, a, b = leaves + merge, left[merge], right[merge]
        whole[node] = whole[a] + whole[b] + gain[merge]
        split = best[a] + best[b]
        best[node] = max(whole[node], split)
        if whole[node] >= split:
            top[node] = node
    _hand_down(left, right, leaves, top)
    return top


@compiled
def _hand_down(left: Array, right: Array, leaves: int, top: Array) -> None:
    """Nodes marked in `top` [leaves + M] hand their number to all below; leaves keep their own."""
    for merge in range(len(left) - 1, -1, -1):
        node = leaves + merge
        top[left[merge]] = top[node] if top[node] >= 0 else top[left[merge]]
        top[right[merge]] = top[node] if top[node] >= 0 else top[right[merge]]
    for leaf in range(leaves):
        if top[leaf] < 0:
            top[leaf] = leaf


@compiled
def matches_below(left: Array, right: Array, probability: Array, sizes: Array, top: Array) -> Array:
    """Images outside each row that match it and are expected in its cluster, float64 [leaves].

    Sum of q times the size of the other side over the merges above the row that the cut keeps.
    """
    leaves = len(sizes) - len(left)
    matching = np.zeros(len(sizes))
    for merge in range(len(left) - 1, -1, -1):
        node, a, b = leaves + merge, left[merge], right[merge]
        if top[node] >= 0:
            matching[a] = matching[node] + probability[merge] * sizes[b]
            matching[b] = matching[node] + probability[merge] * sizes[a]
    return matching[:leaves]


@compiled
def leaf_spans(left: Array, right: Array, leaves: int) -> tuple[Array, Array, Array]:
    """The leaves in an order in which those below any node stand together.

    Returns `order` [leaves], and per node [leaves + M] where its leaves start in it and how many
    they are.
    """
    nodes = leaves + len(left)
    count, start = np.ones(nodes, np.int64), np.full(nodes, -1)
    is_root = np.ones(nodes, np.bool_)
    for merge in range(len(left)):
        count[leaves + merge] = count[left[merge]] + count[right[merge]]
        is_root[left[merge]] = is_root[right[merge]] = False
    place = 0
    for node in range(nodes):
        if is_root[node]:
            start[node] = place
            place += count[node]
    order = np.empty(leaves, np.int64)
    for merge in range(len(left) - 1, -1, -1):
        node, a, b = leaves + merge, left[merge], right[merge]
        start[a] = start[node]
        start[b] = start[node] + count[a]
    for leaf in range(leaves):
        order[start[leaf]] = leaf
    return order, start, count


@compiled
def number_clusters(top: Array, alive: Array) -> Array:
    """Cluster numbers int64 [leaves] in the order of first leaves; -1 where not `alive`."""
    number, labels = np.full(len(top), -1), np.full(len(alive), -1)
    count = 0
    for leaf in range(len(alive)):
        if alive[leaf]:
            if number[top[leaf]] < 0:
                number[top[leaf]] = count
                count += 1
            labels[leaf] = number[top[leaf]]
    return labels


@compiled
def find_densest(labels: Array, density: Array, clusters: int) -> Array:
    """The leaf of largest `density` of each of so many clusters, the first of equals: int64."""
    densest = np.full(clusters, -1)
    for leaf in range(len(labels)):
        label = labels[leaf]
        if label >= 0 and (densest[label] < 0 or density[leaf] > density[densest[label]]):
            densest[label] = leaf
    return densest
