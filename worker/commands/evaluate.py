"""`shoal evaluate`: score the clusterings of labelled files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.commands.granularity import granularities
from worker.commands.made import made_by

if TYPE_CHECKING:
    from models import Clustering, Scores

Row = dict[str, Any]
_SHOWN = ("method", "classes", "clusters", "pairwise_f", "bcubed_f", "nmi", "ece")
_OURS = "shoal"
# HDBSCAN's defaults cluster no fewer rows.
_PEERS_FEWEST = 5


def evaluate(
    files: Annotated[
        list[Path], typer.Argument(help="npz files with features [n, d] and labels [n].")
    ],
    granularity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD or FILE=WORD",
            help="What the classes of all files, or of one, are: shot, thing (the default), kind,"
            " or none: not known.",
        ),
    ] = None,
    group_size: Annotated[
        float | None,
        typer.Option(help="Images in the group of a typical image, if that is known."),
    ] = None,
    true_size: Annotated[
        bool,
        typer.Option(
            "--true-size", help="Tell the size that the labels of each file have, instead."
        ),
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(help="Folder of weights; default: the shipped ones.")
    ] = None,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers",
            help="Other clusterings too; * is tuned on the very labels. Some thousands of rows.",
        ),
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="SVG or PNG to draw: F over levels, or beside the peers'.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per clustering.")] = False,
) -> None:
    """Cluster labelled files and score the result against their labels; -1 is left out.

    One file alone is answered with a JSON object; more with a table, unless --json is given.
    """
    from models import cluster, load_model
    from models import evaluate as score
    from models.training.sources import names_of
    from worker.commands.model_progress import stages

    if true_size and group_size is not None:
        raise typer.BadParameter("--true-size and --group-size exclude each other")
    words = granularities(granularity or [], files)
    if picture is not None:
        _require(picture, files)
    sets = [(file, *_read(file, peers=peers)) for file in files]
    model = load_model(weights)
    different = list(dict.fromkeys(files))
    names = dict(zip(map(str, different), names_of(different), strict=True))
    rows: list[Row] = []
    curves = {}
    for file, features, labels in sets:
        size = _true_size(labels) if true_size else group_size
        with _naming(file), stages(shown=not json) as progress:
            result = cluster(
                features,
                granularity=words[file].told,
                group_size=size,
                model=model,
                progress=progress,
            )
        scores = score(labels, result.labels)
        told = {"granularity": words[file].value, "group_size": size}
        made = {"how": result.method, "reason": result.reason}
        rows.append(_figures(file, _OURS, scores) | told | made | _of_run(result, labels))
        curves[names[str(file)]] = _curve(labels, result)
        if peers:
            rows += _peers(file, features, labels)
    _print(rows, names, as_json=json or len(rows) == 1)
    if picture is not None:
        _draw(picture, rows, names, curves, peers=peers)


def _require(picture: Path, files: list[Path]) -> None:
    """Raise `BadInputError` where `picture` cannot be drawn, not written in its place, or is one of
    the `files` that are read.
    """
    from models import BadInputError
    from models.files import refuse_input
    from models.training.pictures import require

    require(picture)
    refuse_input(picture, files)
    if not picture.parent.is_dir():
        raise BadInputError(f"{picture} cannot be written: {picture.parent} must be a folder")
    if picture.is_dir():
        raise BadInputError(f"{picture} is a folder; it must be a file to write")
    if not os.access(picture if picture.exists() else picture.parent, os.W_OK):
        raise BadInputError(f"{picture} cannot be written: there is no right to do so")


def _read(file: Path, *, peers: bool) -> tuple[Any, Any]:
    """Features [n, d] and labels [n]. Raises `BadInputError` where too few are known for `peers`,
    or none of the rows that there are: scores would be 0 or 1 and mean nothing.
    """
    from models import BadInputError
    from models.training.sources import read_labelled

    features, labels = read_labelled(file)
    known = int((labels >= 0).sum())
    needed = _PEERS_FEWEST if peers else min(1, labels.size)
    if known < needed:
        raise BadInputError(
            f"{file}: labels has {known} known among {labels.size}; it must have at least "
            f"{needed} that are 0 or more (-1: unknown)"
        )
    return features, labels


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """A `BadInputError` that is raised within names `file`."""
    from models import BadInputError

    try:
        yield
    except BadInputError as error:
        raise BadInputError(f"{file}: {error}") from error


def _true_size(labels: Any) -> float:
    """Images in the group of a typical image, over the rows whose label is known."""
    import numpy as np

    from models.training.prepared import seen_size

    return seen_size(np.unique(labels[labels >= 0], return_inverse=True)[1])


def _peers(file: Path, features: Any, labels: Any) -> list[Row]:
    from models import evaluate as score
    from models.peers.survey import survey
    from models.vectors import unit_rows

    known = labels >= 0
    unit, truth = unit_rows(features[known]), labels[known]
    return [_figures(file, name, score(truth, found)) for name, found in survey(unit, truth)]


def _figures(file: Path, method: str, scores: "Scores") -> Row:
    """One clustering's figures, by the names that scripts see."""
    named = {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in asdict(scores).items()
    }
    labelled = named.pop("images")
    return {"file": str(file), "method": method, "labelled": labelled} | named


def _of_run(result: "Clustering", labels: Any) -> Row:
    """What a run says of itself, and how far its confidence is off."""
    from models.calibration import assignment_truth, calibration_error, reliability_bins

    known = labels >= 0
    truth = assignment_truth(labels[known], result.labels[known])
    error = calibration_error(reliability_bins(result.confidence[known], truth))
    expected = {
        name: None if value is None else round(value, 4)
        for name in ("expected_precision", "expected_recall", "expected_f")
        for value in [getattr(result, name)]
    }
    return {
        "n": len(result.labels),
        **expected,
        "ece": round(error, 4),
        "seconds": round(sum(result.seconds.values()), 3),
    }


def _curve(labels: Any, result: "Clustering") -> list[tuple[int, float]]:
    """Clusters and F of every level of a run."""
    from models.peers.choose import worth

    return [(int(level.max(initial=-1)) + 1, worth(labels, level)) for level in result.levels]


def _draw(
    picture: Path,
    rows: list[Row],
    names: dict[str, str],
    curves: dict[str, list[tuple[int, float]]],
    *,
    peers: bool,
) -> None:
    from models.training.pictures import draw_levels, draw_scores

    if not peers:
        draw_levels(picture, curves)
        return
    scores: dict[str, dict[str, float]] = {}
    for row in rows:
        mean = (row["pairwise_f"] + row["bcubed_f"]) / 2
        scores.setdefault(names[row["file"]], {})[row["method"]] = mean
    draw_scores(picture, scores)


def _print(rows: list[Row], names: dict[str, str], *, as_json: bool) -> None:
    import json

    from rich.console import Console
    from rich.table import Table

    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    table = Table("file", *_SHOWN, padding=0)
    for row in rows:
        table.add_row(names[row["file"]], *(str(row.get(name, "")) for name in _SHOWN))
    Console().print(table)
    for row in rows:
        if row["method"] == _OURS:
            print(f"{names[row['file']]}: {made_by(row['how'], row['reason'])}")
