"""Work on several cores."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Made = TypeVar("Made")

# Fewer items than this are not worth a thread; more keep the others waiting at the end.
FEWEST, MOST = 1_024, 65_536
# Parts of each thread, so that one that is held up does not hold up all.
PARTS = 4
# Tasks over a whole collection that are in memory together: each takes some hundred bytes a row.
AT_ONCE = 8


def _nobody(_share: float) -> None:
    """Hears how far it is, and does nothing."""


def in_blocks(
    task: Callable[[int, int], None], count: int, report: Callable[[float], None] = _nobody
) -> None:
    """Run task(start, stop) over 0..count by parts, on as many threads as torch may use. Blocks.

    The calling thread takes part, and tells `report` which share is done or under way. What any
    part raises is raised.
    """
    threads = torch.get_num_threads()
    size = min(max(count // (PARTS * threads), FEWEST), MOST)
    starts = iter(range(0, count, size))  # each start goes to the thread that is free first

    def work(report: Callable[[float], None]) -> None:
        for start in starts:
            stop = min(start + size, count)
            task(start, stop)
            report(stop / count)

    helpers = min(threads, -(-count // size)) - 1
    if helpers < 1:
        work(report)
        return
    with ThreadPoolExecutor(helpers) as pool:
        running = [pool.submit(work, _nobody) for _ in range(helpers)]
        work(report)
    for future in running:
        future.result()


def for_each(task: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
    """What `task` makes of each, on as many threads as torch may use, up to `AT_ONCE`. Blocks.

    What any of them raises is raised.
    """
    threads = min(torch.get_num_threads(), AT_ONCE)
    if threads == 1:
        return [task(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(task, items))
