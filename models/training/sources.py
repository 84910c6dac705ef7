"""Labelled collections to train and to measure on."""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.conditions import conditions
from models.errors import BadInputError
from models.vectors import unit_rows

Generator = np.random.Generator

HELD_OUT_SHARE = 0.1
HELD_OUT_ROWS = 100


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """`unit` float32 [n, d] unit rows of one encoder; `labels` int64 [n], 0..classes-1.

    `granularity` says what its classes are. `episodes` is how many variations training cuts from
    it, beside the set itself; `weight` what each of them counts for.
    """

    name: str
    unit: NDArray[np.float32]
    labels: NDArray[np.int64]
    granularity: str | None
    episodes: int = 4
    weight: float = 1.0

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.labels.max(initial=-1)) + 1

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> "LabelledSet":
        """The set of those rows, classes numbered anew."""
        labels = np.unique(self.labels[keep], return_inverse=True)[1].ravel()
        return replace(self, unit=self.unit[keep], labels=labels.astype(np.int64))

    def with_unit(self, unit: NDArray[np.float32]) -> "LabelledSet":
        """The same labels over other unit rows."""
        return replace(self, unit=unit)

    def weighing(self, weight: float) -> "LabelledSet":
        """The same set with another weight."""
        return replace(self, weight=weight)

    def of_classes(self, chosen: NDArray[np.int64]) -> "LabelledSet":
        """The rows of the classes `chosen`."""
        return self.rows(np.isin(self.labels, chosen))


def read_set(
    path: str | Path, granularity: str | None = "thing", episodes: int = 4
) -> LabelledSet:
    """Read an npz file with `features` [n, d] and whole-number `labels` [n], -1 for unknown.

    Raises `BadInputError` naming the file and what is wrong with it.
    """
    conditions(granularity, None)
    arrays = read_arrays(path, ("features", "labels"))
    features, labels = arrays["features"], arrays["labels"]
    if labels.shape != features.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise BadInputError(
            f"{path}: labels is {labels.dtype} {labels.shape}; it must be whole numbers [n], "
            f"one for each of the {len(features)} features"
        )
    known = labels >= 0
    try:
        unit = unit_rows(features[known])
    except BadInputError as error:
        raise BadInputError(f"{path}: {error}") from error
    numbered = np.unique(labels[known], return_inverse=True)[1].ravel().astype(np.int64)
    return LabelledSet(Path(path).stem, unit, numbered, granularity, episodes)


def read_arrays(path: str | Path, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    """The arrays `names` of an npz file. Raises `BadInputError` if it is none or lacks one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise BadInputError(f"{path} is a single array; it must be an npz file")
            missing = [name for name in names if name not in file.files]
            if missing:
                raise BadInputError(
                    f"{path} has no array {missing[0]!r}; it has {', '.join(file.files) or 'none'}"
                )
            return {name: file[name] for name in names}
    except FileNotFoundError as error:
        raise BadInputError(f"{path} does not exist") from error
    except IsADirectoryError as error:
        raise BadInputError(f"{path} is a folder; it must be an npz file") from error
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        if isinstance(error, BadInputError):
            raise
        raise BadInputError(f"{path} is not an npz file of plain arrays: {error}") from error


def hold_out(source: LabelledSet, rng: Generator) -> tuple[LabelledSet, LabelledSet]:
    """(to train on, held out), with no class in common.

    A tenth of the classes is held out: at least two, and until they have 100 rows, but never more
    than half of them. Raises `BadInputError` for a set of fewer than four classes.
    """
    if source.classes < 4:
        raise BadInputError(
            f"{source.name} has {source.classes} classes; training needs at least 4, "
            "of which 2 are held out"
        )
    order = rng.permutation(source.classes)
    rows = np.bincount(source.labels)[order].cumsum()
    enough = int(np.searchsorted(rows, HELD_OUT_ROWS)) + 1
    count = max(2, round(HELD_OUT_SHARE * source.classes), enough)
    count = min(count, source.classes // 2)
    return source.of_classes(order[count:]), source.of_classes(order[:count])
