"""Which row stands for each of those that are copies of one another."""

from models.kernels.compiled import Array, compiled


@compiled
def name_copies(row: Array, other: Array, name: Array) -> None:
    """Let each row take its copies that no earlier one has taken, unless it is taken itself.

    `row` [e], rising, and `other` [e]: pairs of copies, both ways. `name` [n]: at first each row
    itself, at last the one that has it.
    """
    for e in range(len(row)):
        if name[row[e]] == row[e] and name[other[e]] == other[e]:
            name[other[e]] = row[e]
