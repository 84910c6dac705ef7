"""A worker that a test drives round by round."""

import time

from worker.service import Worker


def step(parts, rounds):
    """What the worker's thread does, without its end."""
    worker = Worker(parts)
    if not parts.source.lag():
        worker._recover()
        worker._open_source()
    for _ in range(rounds):
        worker._round()


def step_until(parts, reached):
    """Go on until something that another process does as well is reached."""
    until = time.monotonic() + 30.0
    while not reached():
        assert time.monotonic() < until
        step(parts, 1)
