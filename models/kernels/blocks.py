"""Work on several cores."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch

# Fewer items than this are not worth a thread.
FEWEST = 1_024


def in_blocks(task: Callable[[int, int], None], count: int) -> None:
    """Run task(start, stop) over 0..count, in as many parts as torch may use threads. Blocks.

    The first part, which starts at 0, is the calling thread's. What any of them raises is raised.
    """
    blocks = max(1, min(torch.get_num_threads(), count // FEWEST))
    edges = [count * block // blocks for block in range(blocks + 1)]
    own, *others = pairwise(edges)
    if not others:
        task(*own)
        return
    with ThreadPoolExecutor(len(others)) as pool:
        running = [pool.submit(task, *span) for span in others]
        task(*own)
    for future in running:
        future.result()
