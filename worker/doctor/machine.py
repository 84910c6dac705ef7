"""Whether this machine will do: disk, model, processor, limits."""

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from index import holes
from worker.doctor.check import Check, mend, ok, warn
from worker.errors import SettingsError
from worker.file_limit import check_open_collections
from worker.settings import Settings

_LOW_RATIO = 0.2
_FULL_RATIO = 0.05
_SLOW_SECONDS = 0.1
_PROBE_BYTES = 2**20

# File systems on which locks, mapped files or durability are not those of a disk.
_NO_DISKS = {"tmpfs": "it is gone after a restart", "overlay": "it goes with the container"}
_REMOTE = ("nfs", "cifs", "smb", "9p", "fuse")

# Values of NVIDIA_VISIBLE_DEVICES that give a container none.
_NO_DEVICES = {"", "void", "none"}

_MOUNTS = Path("/proc/mounts")


def check_machine(settings: Settings) -> Iterator[Check]:
    """All of it; writes a file to the data directory that goes at once."""
    yield from check_disk(settings.data_dir)
    yield check_model(settings)
    yield _gpu()
    yield open_files(settings.open_collections, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def check_disk(data_dir: Path) -> Iterator[Check]:
    """Whether it, or where it will be, can be written, is a disk, and has room."""
    data_dir = next(path for path in (data_dir, *data_dir.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=data_dir) as file:
            file.write(b"\1" * _PROBE_BYTES)
            file.flush()
            started = time.monotonic()
            os.fsync(file.fileno())
            yield synced(time.monotonic() - started)
            yield _holes(file.fileno())
    except OSError as error:
        yield mend("disk", f"{data_dir}: {error}", "the worker's user must be able to write there")
        return
    usage = shutil.disk_usage(data_dir)
    yield room(usage.free, usage.total)
    mounts = _MOUNTS.read_text() if _MOUNTS.exists() else ""
    yield file_system(file_system_of(data_dir.resolve(), mounts))


def synced(seconds: float) -> Check:
    """How long a sync of a mebibyte took."""
    found = f"a sync takes {seconds * 1_000:.1f} ms"
    if seconds > _SLOW_SECONDS:
        return warn("disk", found, "every batch waits for one: use a faster disk")
    return ok("disk", found)


def room(free: int, total: int) -> Check:
    """Whether there is room for another snapshot, and for a catalog that is rewritten."""
    found = f"{free / 2**30:.1f} GiB free of {total / 2**30:.1f}"
    if free < _FULL_RATIO * total:
        return mend("disk room", found, "make room: a full disk pauses the worker")
    if free < _LOW_RATIO * total:
        return warn("disk room", found, "a snapshot is written before the oldest goes")
    return ok("disk room", found)


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that `path` lies on, by the lines of /proc/mounts; may be ''."""
    found = {}
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        found[Path(point.encode().decode("unicode_escape"))] = kind
    return next((found[above] for above in (path, *path.parents) if above in found), "")


def file_system(kind: str) -> Check:
    """Whether it keeps what it was told to keep."""
    if kind in _NO_DISKS:
        return warn("file system", kind, f"{_NO_DISKS[kind]}: put the data directory on a volume")
    if kind.startswith(_REMOTE):
        return warn("file system", kind, "locks and syncs may not hold: use a disk of this machine")
    return ok("file system", kind or "unknown")


def open_files(collections: int, limit: int) -> Check:
    """Whether so many collections can be open."""
    try:
        check_open_collections(collections, limit)
    except SettingsError as error:
        return mend("open files", str(error), "raise ulimit -Hn, or lower SHOAL_OPEN_COLLECTIONS")
    unlimited = limit == resource.RLIM_INFINITY
    return ok("open files", "no limit" if unlimited else f"{limit} for {collections} collections")


def _holes(descriptor: int) -> Check:
    before = os.fstat(descriptor).st_blocks
    holes.punch(descriptor, np.array([[0, _PROBE_BYTES]], np.int64))
    os.fsync(descriptor)
    if os.fstat(descriptor).st_blocks < before:
        return ok("holes", "erased vectors give their space back")
    advice = "erased vectors are overwritten, and keep their space"
    return ok("holes", "the file system makes none", advice)


def check_model(settings: Settings) -> Check:
    """Whether there is one, of this version, and the graph has as many neighbours as it reads."""
    from models import load_model
    from models.errors import ModelError

    name = str(settings.weights or "the shipped one")
    try:
        model = load_model(settings.weights, "cpu")
    except ModelError as error:
        return mend("model", str(error), "set SHOAL_WEIGHTS to a folder of weights of this version")
    if model.k > settings.neighbours:
        advice = f"it reads {model.k} neighbours: set SHOAL_NEIGHBOURS to as many"
        return warn("model", f"{name}; SHOAL_NEIGHBOURS is {settings.neighbours}", advice)
    return ok("model", f"{name}; reads {model.k} neighbours")


def _gpu() -> Check:
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return gpu(name, os.environ.get("NVIDIA_VISIBLE_DEVICES", ""), torch.version.cuda)


def gpu(name: str | None, given: str, cuda: str | None) -> Check:
    """Whether the device that this container was given is seen.

    `name`: of the one that torch sees; `given`: NVIDIA_VISIBLE_DEVICES; `cuda`: the version that
    torch is built for.
    """
    if name is not None:
        return ok("gpu", name)
    if given in _NO_DEVICES:
        return ok("gpu", "none", "runs take the processor, beside ingestion")
    found = f"none is seen, and NVIDIA_VISIBLE_DEVICES is {given!r}"
    if cuda is None:
        return warn("gpu", found, "torch is built without CUDA: use the image for CUDA")
    return warn("gpu", found, f"torch is built for CUDA {cuda}: does the driver fit (nvidia-smi)?")
