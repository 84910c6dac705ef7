"""`shoal evaluate`: score the clusterings of labelled files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.granularity import Granularity

if TYPE_CHECKING:
    from models import Clustering, Scores


def evaluate(
    files: Annotated[
        list[Path], typer.Argument(help="npz files with features [n, d] and labels [n].")
    ],
    granularity: Annotated[
        Granularity, typer.Option(help="What the classes of the files are.")
    ] = Granularity.THING,
    group_size: Annotated[
        float | None,
        typer.Option(help="Images in the group of a typical image, if that is known."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per file.")] = False,
) -> None:
    """Cluster labelled files and score the result against their labels; -1 is left out.

    One file is always answered with a JSON object; several with a table, unless --json is given.
    """
    import numpy as np

    from models import cluster, load_model
    from models import evaluate as score
    from models.training.sources import read_labelled
    from worker.commands.model_progress import stages

    model = load_model()
    rows = []
    for file in files:
        features, labels = read_labelled(file)
        with stages(shown=not json) as progress:
            result = cluster(
                features,
                granularity=granularity.value,
                group_size=group_size,
                model=model,
                progress=progress,
            )
        rows.append(_figures(file, result, score(np.asarray(labels), result.labels)))
    _print(rows, as_json=json or len(rows) == 1)


def _figures(file: Path, result: "Clustering", scores: "Scores") -> dict[str, str | int | float]:
    """One file's figures, by the names that scripts see."""
    return {
        "file": str(file),
        "n": len(result.labels),
        "labelled": scores.images,
        "classes": scores.classes,
        "clusters": scores.clusters,
        "pairwise_f": round(scores.pairwise_f, 4),
        "pairwise_precision": round(scores.pairwise_precision, 4),
        "pairwise_recall": round(scores.pairwise_recall, 4),
        "bcubed_f": round(scores.bcubed_f, 4),
        "bcubed_precision": round(scores.bcubed_precision, 4),
        "bcubed_recall": round(scores.bcubed_recall, 4),
        "nmi": round(scores.nmi, 4),
        "expected_f": round(result.expected_f, 4),
        "seconds": round(sum(result.seconds.values()), 3),
    }


def _print(rows: list[dict[str, str | int | float]], *, as_json: bool) -> None:
    import json

    from rich.console import Console
    from rich.table import Table

    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    shown = ("file", "n", "classes", "clusters", "pairwise_f", "bcubed_f", "nmi")
    table = Table(*shown)
    for row in rows:
        table.add_row(*(str(row[name]) for name in shown))
    Console().print(table)
