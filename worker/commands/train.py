"""`shoal train`: meta-train the model on labelled files."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    files: Annotated[
        list[Path], typer.Argument(help="npz files with features [n, d] and labels [n].")
    ],
    output: Annotated[Path, typer.Option("--output", help="Folder for weights and model card.")],
    granularity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE=WORD",
            help="What the classes of a file are: shot, thing (the default), kind or mixed.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A minute's training, to try it out.")
    ] = False,
) -> None:
    """Train on labelled files, one encoder each; classes are split and held out by itself.

    Exits with 1, and marks the weights unusable, if plain cosine judges edges of the held-out
    classes as well as they do.
    """
    from models.training.card import save_trained
    from models.training.run import QUICK, Recipe
    from models.training.run import train as meta_train
    from models.training.sources import episodes_for, read_set
    from worker.commands.model_progress import stages

    words = _words(granularity or [], files)
    episodes = episodes_for(len(files))
    sets = [read_set(file, words.get(file, "thing"), episodes) for file in files]
    with stages(shown=True) as progress:
        trained = meta_train(
            sets, seed=seed, recipe=QUICK if quick else Recipe(), progress=progress
        )
    save_trained(output, trained, sets)
    config = trained.config
    print(
        f"{output}: edge AUC on held-out classes {config.edge_auc:.3f}, "
        f"plain cosine {config.cosine_auc:.3f}: {'usable' if config.usable else 'NOT usable'}"
    )
    if not config.usable:
        raise typer.Exit(1)


def _words(pairs: list[str], files: list[Path]) -> dict[Path, str | None]:
    """FILE=WORD options as a mapping; "mixed" is no word."""
    words: dict[Path, str | None] = {}
    for pair in pairs:
        name, sign, word = pair.rpartition("=")
        if not sign or Path(name) not in files:
            raise typer.BadParameter(f"--granularity {pair!r} must be FILE=WORD, FILE one of those")
        if word not in {"shot", "thing", "kind", "mixed"}:
            raise typer.BadParameter(f"{word!r} must be one of shot, thing, kind, mixed")
        words[Path(name)] = None if word == "mixed" else word
    return words
