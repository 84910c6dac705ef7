"""Rebuild the shipped weights: `python -m models.training.shipped [DATA] [OUTPUT]`.

DATA (default: $SHOAL_DATA, else ../shared/data beside the repository) holds the labelled sets of
docs/models.md; OUTPUT (default: models/weights) receives the weights folder.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from models.files import read_arrays
from models.training.card import save_trained
from models.training.run import Recipe, train
from models.training.sources import LabelledSet, read_set
from models.weights import SHIPPED

# Sums are then always added in one order, so that the weights can be made again.
THREADS = 1
SEED = 0
# What the classes of a source are, where they are not things.
WORDS: dict[str, str | None] = {
    "neardup": "shot",
    "edits": "shot",
    "mild": "shot",
    "patches": "shot",
    "caltech101": "kind",
    "c101": "kind",
    "alphabet": "kind",
    "style": "kind",
    "mixed": None,
}
# Of the pictures, by the source in the name of a set, as stated beside the data.
LICENCES = {
    "omniglot": "MIT",
    "omni": "MIT",
    "alphabet": "MIT",
    "grocery": "MIT",
    "groc": "MIT",
    "caltech101": "CC BY 4.0",
    "c101": "CC BY 4.0",
    "edits": "CC BY 4.0",
    "mild": "CC BY 4.0",
    "patches": "CC BY 4.0",
    "neardup": "CC BY 4.0",
    "avatar": "CC0, CC BY 4.0",
    "icon": "MIT, ISC, Apache, CC BY",
    "style": "MIT, ISC, Apache, CC BY",
    "kanji": "font licences",
    "latin": "font licences",
    "font": "font licences",
    "mixed": "MIT, ISC, Apache, CC0, CC BY 4.0",
}
# The four large sets give more variations than the many types.
LARGE = ("omniglot", "neardup", "caltech101", "grocery")
LARGE_EPISODES = 12
TYPE_EPISODES = 3


def data_folder() -> Path:
    """$SHOAL_DATA, else ../shared/data beside the repository."""
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    return Path(os.environ.get("SHOAL_DATA", beside))


def word_of(name: str) -> str | None:
    """The granularity of a set, by the source in its name."""
    return WORDS.get(_source(name), "thing")


def licences_of(sets: Sequence[LabelledSet]) -> list[str | None]:
    """The licence of each set, None where its source is not known."""
    return [LICENCES.get(_source(part.name)) for part in sets]


def _source(name: str) -> str:
    return name.split("_", maxsplit=1)[0]


def training_sets(data: Path) -> list[LabelledSet]:
    """Every `*_meta_train.npz` of the folder and of its `types/`; no test is ever read here."""
    files = sorted(data.glob("*_meta_train.npz")) + sorted(data.glob("types/*_meta_train.npz"))
    return [_training_set(file) for file in files]


def _training_set(file: Path) -> LabelledSet:
    name = file.stem.removesuffix("_meta_train")
    source = read_set(file, word_of(name), LARGE_EPISODES if name in LARGE else TYPE_EPISODES)
    if name != "omniglot":
        return source
    upright = read_arrays(file, ("rot",))["rot"] == 0  # the other rotations are other classes
    return source.rows(np.flatnonzero(upright))


def main(arguments: list[str]) -> int:
    """Train and write; 1 if the gate was not passed."""
    data = Path(arguments[0]) if arguments else data_folder()
    output = Path(arguments[1]) if len(arguments) > 1 else SHIPPED
    sets = training_sets(data)
    if not sets:
        print(f"{data} holds no *_meta_train.npz", file=sys.stderr)  # noqa: T201  a script
        return 2
    torch.set_num_threads(THREADS)
    trained = train(sets, seed=SEED, recipe=Recipe(), progress=_Line())
    save_trained(output, trained, sets, licences=licences_of(sets))
    return 0 if trained.config.usable else 1


class _Line:
    """Says each whole percent once."""

    def __init__(self) -> None:
        self.said = -1

    def __call__(self, stage: str, share: float) -> None:
        percent = int(100 * share)
        if percent > self.said:
            self.said = percent
            print(f"{percent:3d} % {stage}", flush=True)  # noqa: T201  a script


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
