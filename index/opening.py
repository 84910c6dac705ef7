"""Whether a folder is the collection that is asked for; a new one is written down."""

import uuid
from pathlib import Path

from index.catalog import Catalog
from index.disk import is_disk_error
from index.errors import CorruptError, DimensionError, DirectoryError, ModelError

CATALOG = "catalog.sqlite"
VECTORS = "vectors.f32"


def open_catalog(directory: Path, dimension: int | None, model: str | None) -> tuple[Catalog, int]:
    """The catalog, with the facts of a new collection written, and the dimension."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_disk_error(error):
            raise
        raise DirectoryError(f"{directory}: {error.strerror}") from error
    path, vectors = directory / CATALOG, directory / VECTORS
    if not path.exists() and vectors.exists() and vectors.stat().st_size:
        raise CorruptError(f"{path} is missing; {vectors} holds {vectors.stat().st_size} bytes")
    if not path.exists() and dimension is None:
        raise DirectoryError(f"{directory} holds no collection, and no dimension is given for one")
    catalog = Catalog(path)
    try:
        return catalog, _agree(catalog, dimension, model)
    except BaseException:
        catalog.close()
        raise


def _agree(catalog: Catalog, dimension: int | None, model: str | None) -> int:
    """Check what is asked for against what is kept; keep what is new. The dimension."""
    meta = catalog.meta()
    if "dimension" not in meta:
        if dimension is None or dimension < 1:
            raise DimensionError(f"{catalog.path}: dimension {dimension}; it must be at least 1")
        meta = {"collection": uuid.uuid4().hex, "dimension": str(dimension)}
        catalog.set_meta(meta)
    if dimension not in (None, int(meta["dimension"])):
        raise DimensionError(
            f"{catalog.path}: dimension {dimension}; the collection holds {meta['dimension']}"
        )
    if model is not None and meta.setdefault("model", model) != model:
        raise ModelError(f"{catalog.path}: model {model!r}; the collection holds {meta['model']!r}")
    if model is not None:
        catalog.set_meta({"model": model})
    return int(meta["dimension"])
