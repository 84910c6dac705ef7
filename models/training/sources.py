"""Labelled collections to train and to measure on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.conditions import conditions
from models.errors import BadInputError
from models.files import read_arrays
from models.vectors import collapse, unit_rows

Generator = np.random.Generator

HELD_OUT_SHARE = 0.1
FEWEST_CLASSES = 4
FEWEST_EPISODES = 4
FEW_SETS_EPISODES = 40
# Linkage holds all pairs: its threshold is chosen on so many rows of whole classes.
TUNING_ROWS = 3_000


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

    def named(self, name: str) -> "LabelledSet":
        """The same set with another name."""
        return replace(self, name=name)

    def called(self, granularity: str | None) -> "LabelledSet":
        """The same set under another word."""
        return replace(self, granularity=granularity)

    def weighing(self, weight: float) -> "LabelledSet":
        """The same set with another weight."""
        return replace(self, weight=weight)

    def of_classes(self, chosen: NDArray[np.int64]) -> "LabelledSet":
        """The rows of the classes `chosen`."""
        return self.rows(np.isin(self.labels, chosen))

    def without(self, classes: NDArray[np.int64]) -> "LabelledSet":
        """The rows of all other classes."""
        return self.rows(~np.isin(self.labels, classes))


def read_set(path: str | Path, granularity: str | None = "thing", episodes: int = 4) -> LabelledSet:
    """Read an npz file with `features` [n, d] and whole-number `labels` [n], -1 for unknown.

    Raises `BadInputError` naming the file and what is wrong with it.
    """
    conditions(granularity, None)
    features, labels = read_labelled(path)
    known = labels >= 0
    try:
        unit = unit_rows(features[known])
    except BadInputError as error:
        raise BadInputError(f"{path}: {error}") from error
    numbered = np.unique(labels[known], return_inverse=True)[1].ravel().astype(np.int64)
    return LabelledSet(Path(path).stem, unit, numbered, granularity, episodes)


def read_sets(files: Sequence[Path], granularity: Mapping[Path, str | None]) -> list[LabelledSet]:
    """Read the files of one training, as `read_set`; those without a `granularity` are of things.

    Raises `BadInputError` naming the file, also where it is `unfit`.
    """
    episodes = episodes_for(len(files))
    sets = []
    for file, name in zip(files, names_of(files), strict=True):
        source = read_set(file, granularity.get(file, "thing"), episodes).named(name)
        if (reason := unfit(source)) is not None:
            raise BadInputError(f"{file} {reason}")
        sets.append(source)
    return sets


def read_labelled(path: str | Path) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """`features` [n, d] and `labels` [n] of an npz file. Raises `BadInputError` as `read_set`."""
    arrays = read_arrays(path, ("features", "labels"))
    features, labels = arrays["features"], arrays["labels"]
    if labels.shape != features.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise BadInputError(
            f"{path}: labels is {labels.dtype} {labels.shape}; it must be whole numbers [n], "
            f"one for each of the {len(features)} features"
        )
    return features, labels.astype(np.int64)


def names_of(files: Sequence[Path]) -> list[str]:
    """A name for each file: its stem, with as many folders as tell it from the other files.

    Where no folder does, the name is the path with its suffix.
    """
    return [_name(file, [*files[:at], *files[at + 1 :]]) for at, file in enumerate(files)]


def _name(file: Path, others: Sequence[Path]) -> str:
    for length in range(1, max(len(path.parts) for path in (file, *others)) + 1):
        name = _ending(file, length)
        if all(_ending(other, length) != name for other in others):
            return name
    return str(file)


def _ending(file: Path, length: int) -> str:
    return str(Path(*(file.parent / file.stem).parts[-length:]))


def episodes_for(sets: int) -> int:
    """Variations to cut from each of so many sets: few sets must show more of themselves."""
    return max(FEWEST_EPISODES, FEW_SETS_EPISODES // max(sets, 1))


def held_out_classes(source: LabelledSet, rng: Generator) -> NDArray[np.int64]:
    """A random tenth of the classes, at least two, for the gate alone.

    Raises `BadInputError` for a set that is `unfit`.
    """
    if (reason := unfit(source)) is not None:
        raise BadInputError(f"{source.name} {reason}")
    count = max(2, round(HELD_OUT_SHARE * source.classes))
    return np.sort(rng.permutation(source.classes)[:count])


def unfit(source: LabelledSet) -> str | None:
    """Why nothing can be learnt from a set; None where it can.

    It must have four classes, and as many different unit rows: others cannot be told apart.
    """
    if source.classes < FEWEST_CLASSES:
        return (
            f"has {source.classes} classes; training needs at least {FEWEST_CLASSES}, "
            "of which 2 are held out"
        )
    different = len(collapse(source.unit).counts)
    if different < FEWEST_CLASSES:
        return (
            f"has {different} different directions among its {len(source)} features of dimension "
            f"{source.unit.shape[1]}; training needs at least {FEWEST_CLASSES}"
        )
    return None


def few_rows(source: LabelledSet) -> LabelledSet:
    """About TUNING_ROWS rows: `rows_of_few_classes`."""
    return source.rows(rows_of_few_classes(source.labels))


def rows_of_few_classes(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole classes of about TUNING_ROWS rows in all; of two that have more, some rows of both."""
    count = classes_within(np.bincount(labels), TUNING_ROWS, fewest=2)
    rows = np.flatnonzero(labels < count)
    by_class = rows[np.argsort(labels[rows], kind="stable")]
    return np.sort(evenly(by_class, TUNING_ROWS))


def evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of `rows`, at even distances."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def classes_within(sizes: NDArray[np.int64], rows: int, fewest: int) -> int:
    """How many of the first classes hold about `rows` rows together; at least `fewest`."""
    return max(fewest, int(np.searchsorted(sizes.cumsum(), rows)))
