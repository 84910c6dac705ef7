"""Kernels on several cores."""

from collections.abc import Callable
from itertools import pairwise
from threading import Thread

import torch

# Fewer items than this are not worth a thread.
FEWEST = 1_024


def in_blocks(task: Callable[[int, int], None], count: int) -> None:
    """Run task(start, stop) over 0..count, in as many blocks as torch may use threads. Blocks."""
    blocks = max(1, min(torch.get_num_threads(), count // FEWEST))
    edges = [count * block // blocks for block in range(blocks + 1)]
    spans = list(pairwise(edges))
    threads = [Thread(target=task, args=span) for span in spans[1:]]
    for thread in threads:
        thread.start()
    task(*spans[0])
    for thread in threads:
        thread.join()
