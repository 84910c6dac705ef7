"""What is left of an image: everything that was found, and what was searched."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index import CorruptError
from index.opening import CATALOG
from worker.collections import FOLDER
from worker.errors import SettingsError
from worker.migration import second_of
from worker.settings import Settings
from worker.traces.in_catalog import Known, images_with, known, vector_of
from worker.traces.in_files import Searched, in_files
from worker.traces.in_redis import in_redis
from worker.traces.sought import FOREIGN, Sought, Trace, sought
from worker.vectors import unit_vector


@dataclass(frozen=True)
class Report:
    """`image` says what the catalog knows of it; `others` are images with the very same vector;
    `vector_searched` whether the vector was known. `elsewhere` is what other collections have of
    an image of that id or vector, and other programs in Redis: no traces of this one.
    """

    image: Known
    found: Sequence[Trace]
    elsewhere: Sequence[Trace]
    others: Sequence[str]
    vector_searched: bool
    searched: Searched


def report(settings: Settings, id_: str, given: NDArray[np.floating] | None) -> Report:
    """Search every file and all of Redis for the image `id_`, and for the vector `given` or kept.

    Reads only; a worker may be running. Raises `SettingsError` where there is no such collection
    or the vector is of another dimension, and `StoreUnavailableError`.
    """
    folder = settings.data_dir / FOLDER / settings.collection
    catalog = folder / CATALOG
    if not catalog.exists():
        raise SettingsError(f"collection: {settings.collection!r}: not in {settings.data_dir}")
    folders = [folder, *filter(Path.is_dir, [folder.with_name(second_of(folder.name))])]
    images = [known(path / CATALOG, id_) for path in folders]
    if given is not None and given.shape not in {(image.dimension,) for image in images}:
        raise SettingsError(f"vector: shape {given.shape}; it must be ({images[0].dimension},)")
    wanted = Sought(id_)
    if given is not None:
        vector = unit_vector(given.astype(np.float64)) + np.float32(0)
        wanted = sought(id_, vector, given.astype("<f4").tobytes())
    for path, image in zip(folders, images, strict=True):
        kept = vector_of(path, image)
        wanted = wanted if kept is None else wanted.also(kept)
    searched = Searched()
    url = settings.redis_url.get_secret_value()
    traces = [
        *in_files(settings.data_dir, settings.collection, wanted, searched),
        *in_redis(url, settings.redis_prefix, settings.collection, wanted, searched),
    ]
    others = [other for path in folders for other in images_with(path / CATALOG, wanted)]
    theirs = {FOREIGN: True}
    for owner in _owners(traces) - {FOREIGN}:
        theirs[owner] = _has(folder.with_name(owner), wanted)
    found = [trace for trace in traces if not (trace.owner is not None and theirs[trace.owner])]
    elsewhere = [trace for trace in traces if trace not in found]
    return Report(_together(images), found, elsewhere, others, bool(wanted.vectors), searched)


def _owners(traces: Sequence[Trace]) -> set[str]:
    return {trace.owner for trace in traces if trace.owner is not None}


def _has(folder: Path, wanted: Sought) -> bool:
    """Whether another collection has, or is to be rid of, an image with this id or vector.

    What another worker has is not for this data directory to say; of a damaged catalog nothing is
    known.
    """
    catalogs = [
        path / CATALOG
        for path in (folder, folder.with_name(second_of(folder.name)))
        if (path / CATALOG).exists()
    ]
    return not catalogs or any(_is_in(catalog, wanted) for catalog in catalogs)


def _is_in(catalog: Path, wanted: Sought) -> bool:
    try:
        found = known(catalog, wanted.id)
        others = images_with(catalog, wanted)
    except CorruptError:
        return False
    return found.row is not None or found.erased is not None or bool(others)


def _together(images: Sequence[Known]) -> Known:
    """What the catalogs of a collection and its second index know, as one."""
    there = next((image for image in images if image.row is not None), images[0])
    erased = max((image.erased for image in images if image.erased is not None), default=None)
    return replace(there, erased=erased)
