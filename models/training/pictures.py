"""Pictures of a training and of a measurement, as SVG or PNG by the name of the file.

They need matplotlib (extra `plots`): `missing` says what to install where that is not there.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration import calibration_error
from models.errors import BadInputError
from models.training.gate import GateFigure

KINDS = (".svg", ".png")
# More curves than these have no names.
LEGEND = 12


def missing() -> str | None:
    """What a user without matplotlib is told; None where it is installed."""
    if find_spec("matplotlib") is not None:
        return None
    return "no pictures: matplotlib is not installed (pip install 'shoal[plots]')"


def require(file: Path) -> None:
    """Raise `BadInputError` where a picture called `file` cannot be drawn."""
    if file.suffix not in KINDS:
        raise BadInputError(f"{file} must end with one of {', '.join(KINDS)}")
    if (message := missing()) is not None:
        raise BadInputError(f"{file}: {message}")


def draw_training(
    folder: Path, losses: Mapping[str, Sequence[float]], figures: Sequence[GateFigure]
) -> None:
    """The files losses.svg, reliability.svg and levels.svg."""
    draw_losses(folder / "losses.svg", losses)
    if figures:
        bins = {
            "edges": np.sum([figure.bins for figure in figures], axis=0),
            "assignments": np.sum([figure.assignment_bins for figure in figures], axis=0),
        }
        draw_reliability(folder / "reliability.svg", bins)
        draw_levels(folder / "levels.svg", {figure.name: figure.levels for figure in figures})


def draw_losses(file: Path, losses: Mapping[str, Sequence[float]]) -> None:
    """One line a network, from the first step to the last."""
    figure, axes = _axes()
    for name, values in losses.items():
        axes.plot(np.linspace(0, 1, len(values)), values, label=name)
    axes.set(xlabel="share of the training", ylabel="loss", title="Losses")
    axes.legend()
    _save(figure, file)


def draw_reliability(file: Path, curves: Mapping[str, NDArray[np.float64]]) -> None:
    """What was said against what was true, on classes held out; bins as of `reliability_bins`."""
    figure, axes = _axes()
    axes.plot((0, 1), (0, 1), color="grey", linewidth=1)
    for name, bins in curves.items():
        kept = bins[bins[:, 2] > 0]
        label = f"{name}, calibration error {calibration_error(bins):.3f}"
        said, true = kept[:, 0] / kept[:, 2], kept[:, 1] / kept[:, 2]
        axes.plot(said, true, marker="o", label=label)
    axes.set(xlabel="probability", ylabel="share that is true", title="Classes held out")
    axes.legend()
    _save(figure, file)


def draw_levels(file: Path, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """F of each level of each collection, by its number of clusters: fine to coarse."""
    figure, axes = _axes()
    for name, points in curves.items():
        clusters, f = zip(*points, strict=True)
        axes.plot(clusters, f, marker="o", label=name)
    axes.set(xscale="log", xlabel="clusters", ylabel="mean of pairwise and BCubed F", ylim=(0, 1))
    axes.set_title("F over levels")
    if len(curves) <= LEGEND:
        axes.legend(fontsize="x-small")
    _save(figure, file)


def draw_scores(file: Path, rows: Mapping[str, Mapping[str, float]]) -> None:
    """A group of bars for each collection, one bar a method."""
    figure, axes = _axes()
    methods = list(dict.fromkeys(method for row in rows.values() for method in row))
    width = 0.8 / max(len(methods), 1)
    for place, method in enumerate(methods):
        at = np.arange(len(rows)) + (place - (len(methods) - 1) / 2) * width
        axes.bar(at, [row.get(method, 0.0) for row in rows.values()], width, label=method)
    axes.set_xticks(np.arange(len(rows)), list(rows), rotation=20, ha="right")
    axes.set(ylabel="mean of pairwise and BCubed F", ylim=(0, 1))
    axes.legend(fontsize="x-small")
    _save(figure, file)


def _axes() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    return figure, figure.add_subplot()


def _save(figure: Any, file: Path) -> None:
    """The same figure gives the same bytes."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "shoal"}):
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
