"""`shoal train`: meta-train the model on labelled files."""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.of_file import of_file

if TYPE_CHECKING:
    from models.coordinate.fit import Schedule
    from models.coordinate.train import TrainedCoordinate
    from models.training.run import Trained
    from models.training.sources import LabelledSet


class Input(StrEnum):
    """What the networks read."""

    RELATIONAL = "relational"
    COORDINATE = "coordinate"


class Convolution(StrEnum):
    """The graph convolution of the coordinate input."""

    GRAPHCONV = "graphconv"
    GAT = "gat"


def train(
    files: Annotated[
        list[Path], typer.Argument(help="npz files with features [n, d] and labels [n].")
    ],
    output: Annotated[Path, typer.Option("--output", help="Folder for weights, card, pictures.")],
    input: Annotated[  # noqa: A002  the option's name
        Input, typer.Option(help="What the networks read: relations, or one encoder's coordinates.")
    ] = Input.RELATIONAL,
    convolution: Annotated[
        Convolution, typer.Option(help="Of --input coordinate: the paper's for faces or species.")
    ] = Convolution.GRAPHCONV,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of --input coordinate; 250, or 15 with --quick.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of --input coordinate; .01, or .1 with --quick.")
    ] = None,
    granularity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE=WORD",
            help="What the classes of a file are: shot, thing (the default), kind or mixed.",
        ),
    ] = None,
    licence: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE=TEXT", help="The licence of a file, for the model card."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A minute's training, to try it out.")
    ] = False,
) -> None:
    """Train on labelled files, one encoder each; classes are split and held out by itself.

    Exits with 1, and marks the weights unusable, unless they beat plain cosine (edges) and average
    linkage (clusters) on the held-out classes.
    """
    from models.training.card import make_folder, save_trained
    from models.training.sources import read_sets
    from models.weights import figures_of
    from worker.commands.model_progress import stages

    for file in files:
        if files.count(file) > 1:
            raise typer.BadParameter(f"{file} is given {files.count(file)} times; once is enough")
    schedule = _schedule(input, epochs, learning_rate, quick=quick)
    words = _words(granularity or [], files)
    licences = dict(_pairs("--licence", licence or [], files))
    make_folder(output)
    sets = read_sets(files, words)
    with stages(shown=True) as progress:
        trained = (
            _train(sets, seed, progress, quick=quick)
            if schedule is None
            else _train_coordinate(sets, convolution, schedule, seed, progress)
        )
    note = save_trained(output, trained, sets, licences=[licences.get(file) for file in files])
    if note is not None:
        print(note, file=sys.stderr)
    usable = trained.config.usable
    print(
        f"{output}: {'usable' if usable else 'NOT usable'}; on held-out classes "
        f"{figures_of(trained.config)}"
    )
    if not usable:
        raise typer.Exit(1)


def _schedule(
    kind: Input, epochs: int | None, learning_rate: float | None, *, quick: bool
) -> "Schedule | None":
    """That of a coordinate training, None of a relational one, which has none to choose."""
    if kind is Input.RELATIONAL:
        for option, value in (("--epochs", epochs), ("--learning-rate", learning_rate)):
            if value is not None:
                raise typer.BadParameter(f"{option} is of --input coordinate, not of {kind.value}")
        return None
    if learning_rate is not None and not 0 < learning_rate < math.inf:
        raise typer.BadParameter(f"--learning-rate is {learning_rate}; it must be above 0")
    from models.coordinate.fit import Schedule
    from models.coordinate.train import QUICK_SCHEDULE

    usual = QUICK_SCHEDULE if quick else Schedule()
    return replace(
        usual,
        epochs=usual.epochs if epochs is None else epochs,
        learning_rate=usual.learning_rate if learning_rate is None else learning_rate,
    )


def _train(
    sets: "list[LabelledSet]",
    seed: int,
    progress: Callable[[str, float], None],
    *,
    quick: bool,
) -> "Trained":
    from models.training import run

    recipe = run.QUICK if quick else run.Recipe()
    return run.train(sets, seed=seed, recipe=recipe, progress=progress)


def _train_coordinate(
    sets: "list[LabelledSet]",
    convolution: Convolution,
    schedule: "Schedule",
    seed: int,
    progress: Callable[[str, float], None],
) -> "TrainedCoordinate":
    from models.coordinate.train import train_coordinate

    return train_coordinate(
        sets, convolution=convolution.value, schedule=schedule, seed=seed, progress=progress
    )


def _words(options: list[str], files: list[Path]) -> dict[Path, str | None]:
    """FILE=WORD options as a mapping; "mixed" is no word."""
    words: dict[Path, str | None] = {}
    for file, word in _pairs("--granularity", options, files):
        if word not in {"shot", "thing", "kind", "mixed"}:
            raise typer.BadParameter(f"{word!r} must be one of shot, thing, kind, mixed")
        words[file] = None if word == "mixed" else word
    return words


def _pairs(name: str, options: list[str], files: list[Path]) -> Iterator[tuple[Path, str]]:
    """FILE=TEXT options, of files that are trained on."""
    for option in options:
        pair = of_file(option, files)
        if pair is None:
            raise typer.BadParameter(f"{name} {option!r} must be FILE=..., FILE one of those")
        yield pair
