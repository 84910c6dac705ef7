"""A worker that a test drives round by round."""

from worker.service import Worker


def step(parts, rounds):
    """What the worker's thread does, without its end."""
    worker = Worker(parts)
    if not parts.source.lag():
        worker._recover()
        worker._open_source()
    for _ in range(rounds):
        worker._round()
