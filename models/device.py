"""Where to compute: on CUDA while its memory does, else on the CPU."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from models.errors import BadInputError


def device_of(name: str | None) -> str:
    """The device that `name` is, `best_device()` if None. Raises `BadInputError` where it takes no
    work, save for want of memory.
    """
    if not name:
        return best_device()
    with taking_work(name):
        torch.zeros(1, device=name).cpu()
    return name


@contextmanager
def taking_work(name: str) -> Iterator[None]:
    """First work for the device `name`. Raises `BadInputError` where it takes none, save for want
    of memory.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError, TypeError) as error:
        why = str(error).partition("\n")[0]
        raise BadInputError(
            f"device is {name!r}; it must be cpu, cuda where torch finds a GPU, or None: {why}"
        ) from error


def best_device() -> str:
    """The device "cuda" where there is one that takes work; else "cpu", warning of a full one."""
    if not torch.cuda.is_available():
        return "cpu"
    try:
        torch.zeros(1, device="cuda")
    except RuntimeError as error:  # a context alone needs memory
        message = f"the GPU takes no work, the CPU does it: {error}"
        warnings.warn(message, RuntimeWarning, stacklevel=3)
        return "cpu"
    return "cuda"


def warn_of_memory(device: str, what: str) -> None:
    """Say that the memory of `device` did not do for `what`, and the CPU goes on."""
    warnings.warn(
        f"the memory of {device} does not do for {what}: the CPU goes on",
        RuntimeWarning,
        stacklevel=3,
    )
