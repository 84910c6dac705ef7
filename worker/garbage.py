"""When Python looks for cycles of objects: seldom, and not among those that stay."""

import gc

# Objects made, less those that went, between two looks at the young ones. The images of a batch
# under way are that many, and none is in a cycle; with Python's own 700 all are looked at twice.
_YOUNG = 50_000


def look_seldom() -> None:
    """Set the collector for a process that has loaded what it needs and now works for long.

    What is there already counts as staying for good. Blocks for less than a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
