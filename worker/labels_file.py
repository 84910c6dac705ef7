"""Files that say what images are of: csv of `id,label`, or npz with `ids` and `labels`."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from worker.errors import RejectedError, SettingsError
from worker.image_id import id_from_field

_HEAD = ["id", "label"]


def read_labels(path: Path) -> dict[str, str]:
    """The label of each image, by id. In npz a label of -1, in csv an empty one, is none.

    Raises `SettingsError` naming the file, the line or row, and what is wrong; also for an image
    with two labels, and where no image has one.
    """
    labels: dict[str, str] = {}
    for place, id_, label in _pairs(path):
        try:
            image = id_from_field(id_)
        except RejectedError as error:
            raise SettingsError(f"{path}: {place}: {error.detail}") from error
        if labels.setdefault(image, label) != label:
            raise SettingsError(
                f"{path}: {place}: {image!r} has the labels {labels[image]!r} and {label!r}"
            )
    if not labels:
        raise SettingsError(f"{path}: no image has a label")
    return labels


def _pairs(path: Path) -> Iterator[tuple[str, str, str]]:
    """Where it stands, id and label of every image that has one."""
    readers = {".csv": _of_csv, ".npz": _of_npz}
    if path.suffix not in readers:
        raise SettingsError(f"{path}: must end with one of {', '.join(readers)}")
    try:
        yield from readers[path.suffix](path)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from error


def _of_csv(path: Path) -> Iterator[tuple[str, str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        try:
            for cells in lines:
                if not cells or (lines.line_num == 1 and cells == _HEAD):
                    continue
                if len(cells) != len(_HEAD):
                    raise SettingsError(
                        f"{path}: line {lines.line_num}: {len(cells)} cells, must be id,label"
                    )
                if cells[1]:
                    yield f"line {lines.line_num}", cells[0], cells[1]
        except (csv.Error, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: line {lines.line_num + 1}: {error}") from error


def _of_npz(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            ids, labels = archive["ids"], archive["labels"]
    except (KeyError, ValueError, EOFError) as error:
        raise SettingsError(f"{path}: needs the arrays ids and labels: {error}") from error
    if ids.ndim != 1 or ids.shape != labels.shape:
        raise SettingsError(f"{path}: ids {ids.shape} and labels {labels.shape} must both be [n]")
    for row, (id_, label) in enumerate(zip(ids.tolist(), labels.tolist(), strict=True)):
        if label not in {-1, ""}:
            yield f"row {row}", id_, str(label)
