"""What is left of an image: everything that was found, and what was searched."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.opening import CATALOG
from worker.collections import FOLDER
from worker.errors import SettingsError
from worker.settings import Settings
from worker.traces.in_catalog import Known, images_with, known, vector_of
from worker.traces.in_files import Searched, in_files
from worker.traces.in_redis import in_redis
from worker.traces.sought import Trace, sought
from worker.vectors import unit_vector


@dataclass(frozen=True)
class Report:
    """`image` says what the catalog knows of it; `others` are images with the very same vector;
    `vector_searched` whether the vector was known.
    """

    image: Known
    found: Sequence[Trace]
    others: Sequence[str]
    vector_searched: bool
    searched: Searched


def report(settings: Settings, id_: str, given: NDArray[np.floating] | None) -> Report:
    """Search files and Redis for the image `id_`, and for the vector `given` or still kept.

    Reads only; a worker may be running. Raises `SettingsError` where there is no such collection
    or the vector is of another dimension, and `StoreUnavailableError`.
    """
    folder = settings.data_dir / FOLDER / settings.collection
    catalog = folder / CATALOG
    if not catalog.exists():
        raise SettingsError(f"collection: {settings.collection!r}: not in {settings.data_dir}")
    image = known(catalog, id_)
    if given is not None and given.shape != (image.dimension,):
        raise SettingsError(f"vector: shape {given.shape}; it must be ({image.dimension},)")
    vector, sent = vector_of(folder, image), b""
    if given is not None:
        sent = given.astype("<f4").tobytes()
        vector = unit_vector(given.astype(np.float64)) + np.float32(0)
    wanted = sought(id_, vector, sent)
    searched = Searched()
    url = settings.redis_url.get_secret_value()
    found = [
        *in_files(settings.data_dir, settings.collection, wanted, searched),
        *in_redis(url, settings.redis_prefix, settings.collection, wanted, searched),
    ]
    return Report(image, found, images_with(catalog, wanted), vector is not None, searched)
