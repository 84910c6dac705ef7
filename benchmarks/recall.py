"""How many of the true neighbours the kept graph lists, whatever order and mix images come in.

    python benchmarks/recall.py --rows 1000000 --dimension 64 --only generated

* `public`: the test sets of the folder `SHOAL_DATA` and a choice of its `types`, as they are (small
  collections are searched exactly) and with HNSW from 400 rows on.
* `generated`: the made-up collection of `indexing.py`.
* `changes`: the same, half of it there before a mix begins: of each batch half is new, a quarter
  changes (new vectors under known ids), a quarter is erased.
* `copies`: one photo `--copies` times among others: identical vectors share a row.
* `edits`: `--photos` photos, each `--edits` times almost the same (similarity .98 to .999).

Sets and the generated collection come shuffled, class after class, and with the largest class last.
Printed are recall as kept under full load (`kept`) and once nothing comes any more (`refreshed`);
`changes` is told for the sets too. Exact neighbours are found by matrix product for 1,000 rows.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from indexing import Vectors, look_alikes, recall
from numpy.typing import NDArray
from rich.console import Console

import index.few
from index import CollectionIndex, Erasure, IndexSettings, NewImage

Labels = NDArray[np.int64]
Figures = dict[str, float]

DATA = Path(os.environ.get("SHOAL_DATA", "../shared/data"))
SETS = ("caltech101", "grocery", "neardup", "omniglot")
TYPES = ("avatar_top192", "c101_top32w", "icon_pix160", "latin_rand32", "omni_cnn16", "style_lda24")
ORDERS = ("shuffled", "sorted", "last")
BATCH = 1_000
SMALL_BATCH = 100
HNSW_FROM = 400
SAMPLE_ROWS = 1_000
BLOCK_ROWS = 1 << 16

console = Console(stderr=True)


def ordered(labels: Labels, order: str, seed: int) -> Labels:
    """The places of images in the order in which they come."""
    places = np.random.default_rng(seed).permutation(len(labels))
    came = labels[places]
    if order == "sorted":
        return places[np.argsort(came, kind="stable")]
    if order == "last":
        return places[np.argsort(came == np.bincount(labels).argmax(), kind="stable")]
    return places


class Kept:
    """A collection in a folder of its own, fed as the worker does it, with what that took."""

    def __init__(self, directory: Path, dimension: int) -> None:
        path = Path(tempfile.mkdtemp(dir=directory))
        self.index = CollectionIndex.open(path, settings=IndexSettings(), dimension=dimension)
        self.seconds = 0.0
        self._waiting = 0

    def take(self, writes: Sequence[NewImage | Erasure]) -> None:
        """One batch; HNSW takes it in while the next one is logged."""
        started = time.perf_counter()
        logged = self.index.log(writes, {})
        if len(logged.dead_rows):
            self.index.remove(logged.dead_rows)
        self.index.begin_insert(logged.new_rows)
        if self._waiting:
            self.index.end_insert()
        self._waiting = 1
        self.seconds += time.perf_counter() - started

    def feed(self, vectors: Vectors, what: str, batch: int = BATCH, first: int = 0) -> None:
        """Images named by their number."""
        for start in ticked(range(0, len(vectors), batch), what):
            part = vectors[start : start + batch]
            self.take([NewImage(f"{first + start + i}", v) for i, v in enumerate(part)])
        self.end()

    def end(self) -> None:
        """All that was begun is in the graph."""
        started = time.perf_counter()
        self.index.insert(np.empty(0, np.int64))
        self.seconds += time.perf_counter() - started

    def figures(self, images: int, seed: int) -> Figures:
        """Recall as it is and refreshed, and images a second; the collection is closed then."""
        figures = {"rows": self.index.rows, "rate": round(images / self.seconds)}
        figures["kept"] = round(recall(self.index, seed, SAMPLE_ROWS), 4)
        while self.index.refresh(5_000):
            pass
        figures["refreshed"] = round(recall(self.index, seed, SAMPLE_ROWS), 4)
        self.index.close()
        return figures


def ticked(steps: Sequence[int], what: str) -> Iterator[int]:
    """`steps`, telling every tenth of them that they come on."""
    every = max(1, len(steps) // 10)
    for number, step in enumerate(steps):
        if number % every == 0 and len(steps) > 10:
            console.print(f"  {what}: {number:,} of {len(steps):,} batches", highlight=False)
        yield step


@contextmanager
def exact_up_to(rows: int) -> Iterator[None]:
    """Collections of more rows are searched by HNSW."""
    before = index.few.EXACT_ROWS
    index.few.EXACT_ROWS = rows
    try:
        yield
    finally:
        index.few.EXACT_ROWS = before


def in_orders(
    directory: Path,
    vectors: Vectors,
    labels: Labels,
    seed: int,
    orders: Sequence[str] = ORDERS,
) -> dict[str, Figures]:
    """The figures of each order of arrival."""
    found = {}
    batch = BATCH if len(vectors) >= 20 * BATCH else SMALL_BATCH
    for order in orders:
        kept = Kept(directory, vectors.shape[1])
        kept.feed(vectors[ordered(labels, order, seed)], order, batch)
        found[order] = kept.figures(len(vectors), seed)
        console.print(f"  {order:10} {found[order]}", highlight=False)
    return found


def changed(directory: Path, vectors: Vectors, seed: int) -> Figures:
    """Half of the images, then a mix: of four writes two are new, one changes, one erases."""
    rng = np.random.default_rng(seed)
    vectors = rng.permutation(vectors)
    half = len(vectors) // 2
    batch = BATCH if len(vectors) >= 20 * BATCH else SMALL_BATCH
    kept = Kept(directory, vectors.shape[1])
    kept.feed(vectors[:half], "half", batch)
    ids = [str(number) for number in range(half)]
    fresh = iter(vectors[half:])
    rounds = (len(vectors) - half) // (3 * batch // 4)
    for number in ticked(range(rounds), "mix"):
        places = rng.permutation(len(ids))[: batch // 2]
        touched = [ids[place] for place in places]
        erased = set(touched[: batch // 4])
        new = [f"n{number}-{i}" for i in range(batch // 2)]
        writes: list[NewImage | Erasure] = [NewImage(id_, next(fresh)) for id_ in new]
        writes += [NewImage(id_, next(fresh)) for id_ in touched[batch // 4 :]]
        writes += [Erasure(id_) for id_ in erased]
        kept.take(writes)
        ids = [id_ for id_ in ids if id_ not in erased] + new
    kept.end()
    figures = kept.figures(half + rounds * batch, seed)
    console.print(f"  mix        {figures}", highlight=False)
    return figures


def public(directory: Path, seed: int) -> dict[str, object]:
    """Every set in every order and through the mix, as shipped and by HNSW."""
    files = [(name, DATA / f"{name}_test_public.npz") for name in SETS]
    files += [(name, DATA / "types" / f"{name}_test.npz") for name in TYPES]
    found: dict[str, object] = {}
    for name, path in files:
        if not path.exists():
            console.print(f"{path} is missing")
            continue
        data = np.load(path)
        vectors = data["features"].astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        labels = data["labels"].astype(np.int64)
        for way, rows in (("", index.few.EXACT_ROWS), (" by HNSW", HNSW_FROM)):
            with exact_up_to(rows):
                console.print(f"{name}{way}, {len(vectors):,} rows")
                orders = in_orders(directory, vectors, labels, seed)
                mix = changed(directory, vectors, seed)
            found[f"{name}{way}"] = orders | {"changes": mix}
    return found


def resident() -> int:
    """The most bytes of memory that this process had so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def copies(directory: Path, others: Vectors, number: int, seed: int) -> Figures:
    """`number` copies of one photo among the others."""
    rng = np.random.default_rng(seed)
    mixed = np.concatenate([others, np.repeat(others[:1], number - 1, axis=0)])
    before = resident()
    kept = Kept(directory, others.shape[1])
    kept.feed(rng.permutation(mixed), "copies")
    size = sum(path.stat().st_size for path in kept.index.directory.glob("vectors*"))
    figures = {"images": len(mixed), "memory_grew_bytes": resident() - before, "log_bytes": size}
    figures |= kept.figures(len(mixed), seed)
    console.print(f"  {figures}", highlight=False)
    return figures


def edited(photos: Vectors, edits: int, seed: int) -> tuple[Vectors, Labels]:
    """Each photo and its edits, `edits` in all, and which photo each is of."""
    rng = np.random.default_rng(seed)
    number, dimension = photos.shape
    labels = np.repeat(np.arange(number), edits)
    cosine = 1 - 10 ** rng.uniform(-3, np.log10(0.02), len(labels))
    vectors = np.empty((len(labels), dimension), np.float32)
    for start in range(0, len(labels), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        photo = photos[labels[part]]
        noise = rng.standard_normal(photo.shape, dtype=np.float32)
        noise -= np.einsum("nd,nd->n", noise, photo)[:, None] * photo
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        near = cosine[part, None].astype(np.float32)
        vectors[part] = near * photo + np.sqrt(1 - near**2) * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--copies", type=int, default=20_000)
    parser.add_argument("--photos", type=int, default=50)
    parser.add_argument("--edits", type=int, default=400)
    parser.add_argument("--order", action="append", choices=ORDERS, help="repeatable")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="repeatable")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    figures: dict[str, object] = {}
    for part in options.only or PARTS:
        console.print(f"[bold]{part}[/bold]")
        with tempfile.TemporaryDirectory() as name:
            figures[part] = PARTS[part](Path(name), options)
    print(json.dumps(figures))


def _generated(directory: Path, options: argparse.Namespace) -> object:
    vectors, labels = look_alikes(options.rows, options.dimension, options.seed)
    return in_orders(directory, vectors, labels, options.seed, options.order or ORDERS)


def _changes(directory: Path, options: argparse.Namespace) -> object:
    vectors, _ = look_alikes(options.rows, options.dimension, options.seed)
    return changed(directory, vectors, options.seed)


def _copies(directory: Path, options: argparse.Namespace) -> object:
    others, _ = look_alikes(options.copies // 5, options.dimension, options.seed)
    return copies(directory, others, options.copies, options.seed)


def _edits(directory: Path, options: argparse.Namespace) -> object:
    photos, _ = look_alikes(options.photos, options.dimension, options.seed)
    vectors, labels = edited(photos, options.edits, options.seed)
    return in_orders(directory, vectors, labels, options.seed, options.order or ORDERS)


PARTS: dict[str, Callable[[Path, argparse.Namespace], object]] = {
    "public": lambda directory, options: public(directory, options.seed),
    "generated": _generated,
    "changes": _changes,
    "copies": _copies,
    "edits": _edits,
}

if __name__ == "__main__":
    main()
