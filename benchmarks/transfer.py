"""What a model is worth on a source of pictures that it has never seen anything of.

    python benchmarks/transfer.py [--data FOLDER] [--only SOURCE ...] [--seed 0] [--jobs 2]
                                  [--keep FOLDER]

For every source of the data folder ($SHOAL_DATA, else ../shared/data) a model is trained as the
shipped one is, without any set that holds pictures of this source, under whatever encoder, and
tested on the source's public tests: told nothing but the word (unknown), and the true size of
groups as well (told). Figures are means of pairwise and BCubed F, beside each set's bar (see
quality.py: the better of the linker trained at home and of baselines tuned on the test's labels,
as stated beside the data). A training takes a quarter of an hour of one core or so; with --keep,
weights that are there already are not made again. The last line is one JSON object.
"""

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quality import cases, ours, stated_bars

from models import load_model
from models.training.card import save_trained
from models.training.run import train
from models.training.shipped import data_folder, training_sets

# Which sets show pictures of which source, by the first part of their name.
SOURCES = {
    "caltech photos": ("caltech101", "c101", "edits", "mild", "patches", "neardup", "mixed"),
    "groceries": ("grocery", "groc", "mixed"),
    "omniglot": ("omniglot", "omni", "alphabet"),
    "drawn persons": ("avatar", "mixed"),
    "icons": ("icon", "style", "mixed"),
    "kanji": ("kanji",),
    "fonts": ("latin", "font"),
}
# What is a union of sources is left out with each and tested with the first.
TESTED_WITH = {"mixed": "caltech photos"}


def shows(name: str, source: str) -> bool:
    """Whether the set `name` holds pictures of `source`."""
    return name.split("_", maxsplit=1)[0] in SOURCES[source]


def tested(name: str, source: str) -> bool:
    """Whether the test `name` is one of `source`."""
    home = TESTED_WITH.get(name.split("_", maxsplit=1)[0], source)
    return shows(name, source) and home == source


def without(source: str, data: Path, folder: Path, seed: int) -> None:
    """Train on everything but `source` and write the weights, unless they are there."""
    if (folder / "config.json").exists():
        return
    torch.set_num_threads(1)
    sets = [part for part in training_sets(data) if not shows(part.name, source)]
    save_trained(folder, train(sets, seed=seed), sets)


def measured(source: str, data: Path, keep: Path, seed: int) -> dict[str, dict[str, float]]:
    """Per public test of `source`: what the model without it reaches; blocks for minutes."""
    warnings.filterwarnings("ignore")
    folder = keep / source.replace(" ", "-")
    without(source, data, folder, seed)
    model = load_model(folder, device="cpu", allow_unusable=True)
    bars = stated_bars(data)
    found = {}
    for name, read in cases(data):
        if name in bars and tested(name, source):
            row = {method: (both, off) for method, (both, *_), off in ours(read(), model, seed)}
            found[name] = {
                "unknown": row["ours"][0],
                "told": row["told"][0],
                "bar": bars[name],
                "expected_f_off": row["ours"][1].f,
                "calibration_error": row["ours"][1].calibration,
            }
    return found


def means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}


def results(
    sources: Sequence[str], jobs: int, data: Path, keep: Path, seed: int
) -> Iterator[tuple[str, dict[str, dict[str, float]]]]:
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from zip(
            sources,
            pool.map(partial(measured, data=data, keep=keep, seed=seed), sources),
            strict=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--only", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"benchmark": "transfer", "seed": arguments.seed, "sources": {}}
    if not any(arguments.data.glob("*_meta_train.npz")):
        print(f"{arguments.data} holds no sets to train on: nothing to do", file=sys.stderr)
        print(json.dumps(figures))
        return
    with tempfile.TemporaryDirectory() as scratch:
        keep = arguments.keep or Path(scratch)
        for source, found in results(
            arguments.only, arguments.jobs, arguments.data, keep, arguments.seed
        ):
            for name, row in found.items():
                told = "  ".join(f"{method} {value:.3f}" for method, value in row.items())
                print(f"  {name:20s}  {told}")
            mean = means(list(found.values()))
            print(f"{source:22s}  {mean}", flush=True)
            figures["sources"][source] = mean | {"tests": len(found)}
    figures["mean_of_sources"] = means(list(figures["sources"].values()))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
