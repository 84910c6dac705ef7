"""A disk that takes no more."""

import resource
from contextlib import contextmanager


@contextmanager
def full_disk(size):
    """No file of this process may grow beyond `size` bytes: what a disk that takes no more does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
