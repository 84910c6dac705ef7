"""MODEL_CARD.md: what a weights folder was made from and what it is worth; pictures beside it."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from tempfile import TemporaryFile
from typing import Protocol

from torch import nn

from models.coordinate.train import TrainedCoordinate
from models.errors import BadInputError
from models.training.gate import GateFigure
from models.training.pictures import draw_training, missing
from models.training.run import Trained
from models.training.sources import LabelledSet
from models.weights import Verdict, figures_of, save_weights

CARD = "MODEL_CARD.md"
RELATIONAL = """\
Relational: every input is a number that no rotation of the embedding space can change, so the
weights are not bound to an encoder or a dimension. See docs/models.md."""
RELATIONAL_LIMITS = """\
How large groups are meant to be is not in embeddings: where the guess is wrong, say `group_size` or
answer some pairs. Where nearest neighbours are mostly wrong, no merging of theirs helps. Groups of
people say nothing of who they are; do not take them for proof of identity."""
COORDINATE = """\
Coordinates (the paper's input): bound to one encoder of {dimension} dimensions, which must be the
one of the sets below. See docs/decisions/0104-coordinates-for-one-encoder.md."""
COORDINATE_LIMITS = """\
Embeddings of any other encoder, also of another version of the same one, give nonsense without an
error if their dimension is right. What a group is was learnt from the classes below; `granularity`
and `group_size` change nothing."""


class Judged(Protocol):
    """What every training gives."""

    @property
    def network(self) -> nn.Module:
        """The weights."""

    @property
    def figures(self) -> list[GateFigure]:
        """What the gate found on each set."""


def make_folder(folder: str | Path) -> None:
    """Make `folder` if need be and write to it once, so that a long training is not for nothing.

    Raises `BadInputError` where `save_trained` could not write.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as probe:
            probe.write(b"0")
    except OSError as error:
        raise BadInputError(
            f"{folder} cannot be written: {error.strerror}; the output must be a folder that "
            "can be written to, or that can be made"
        ) from error


def save_trained(
    folder: str | Path,
    trained: Trained | TrainedCoordinate,
    sets: Sequence[LabelledSet],
    extra: str = "",
    licences: Sequence[str | None] | None = None,
) -> str | None:
    """Write weights, config, card and pictures; `extra` is markdown that ends the card.

    `sets` are those of the training, in its order; `licences` has one for each, None where nobody
    stated it. Returns what to tell where pictures cannot be drawn.
    """
    save_weights(folder, trained.network, trained.config)
    text = model_card(trained, sets, licences) + (f"\n{extra.strip()}\n" if extra else "")
    (Path(folder) / CARD).write_text(text, encoding="utf-8")
    if (message := missing()) is not None:
        return message
    draw_training(Path(folder), losses_of(trained), trained.figures)
    return None


def losses_of(trained: Trained | TrainedCoordinate) -> dict[str, list[float]]:
    """The loss of each network along its training."""
    if isinstance(trained, TrainedCoordinate):
        return {"coordinate": trained.losses}
    network = trained.network
    names = {
        "round 1": network.first,
        "round 2": network.second,
        "pairs": network.pair,
        "assignments": network.assignment,
        "recall": network.recall,
    }
    return {name: part.history for name, part in names.items()}


def model_card(
    trained: Trained | TrainedCoordinate,
    sets: Sequence[LabelledSet],
    licences: Sequence[str | None] | None = None,
) -> str:
    """The card as markdown; `sets` and `licences` as of `save_trained`."""
    config: Verdict = trained.config
    verdict = "usable" if config.usable else "NOT usable"
    about, limits, made = _of_kind(trained)
    parts = [
        "# Hi-LANDER weights",
        about,
        (
            f"* Verdict of the gate: **{verdict}**.\n"
            f"* On held-out classes (means over the sets below) {figures_of(config)}.\n"
            f"* Seed {trained.config.seed}, hidden width {trained.config.hidden}, "
            f"{_parameters(trained):,} parameters.\n"
            f"* {made}"
        ),
        "## Trained on",
        (
            "A tenth of each set's classes was held out; the figures are of those. F is the mean "
            "of pairwise and BCubed F. Sets that show the same pictures hold out classes each by "
            "itself, so that the others may have shown them: their figures flatter."
        ),
        _table(trained.figures, sets, licences or [None] * len(sets)),
        "## Limits",
        limits,
    ]
    return "\n\n".join(parts) + "\n"


def _of_kind(trained: Trained | TrainedCoordinate) -> tuple[str, str, str]:
    """What the model is, its limits, how it was made."""
    if isinstance(trained, TrainedCoordinate):
        config = trained.config
        made = (
            f"{len(trained.losses)} epochs, last loss {trained.losses[-1]:.4f}; convolution "
            f"{config.convolution}; thresholds {config.tau} and {config.tau_above}."
        )
        return COORDINATE.format(dimension=config.dimension), COORDINATE_LIMITS, made
    made = (
        f"{trained.episodes} episodes of {trained.rows:,} rows; last losses: edges "
        f"{trained.edge_loss:.4f}, pairs {trained.pair_loss:.4f}, assignments "
        f"{trained.certainty_loss:.4f}."
    )
    return RELATIONAL, RELATIONAL_LIMITS, made


def _table(
    figures: Sequence[GateFigure], sets: Sequence[LabelledSet], licences: Sequence[str | None]
) -> str:
    head = "set | classes are | rows | classes | edge AUC | cosine | F | linkage's F | licence"
    lines = [f"| {head} |", "|" + "---|" * 9]
    for source, figure, licence in zip(sets, figures, licences, strict=True):
        lines.append(
            f"| {source.name} | {source.granularity or 'mixed'} | {len(source):,} | "
            f"{source.classes:,} | {_area(figure.edge_auc)} | {_area(figure.cosine_auc)} | "
            f"{figure.cluster_f:.3f} | {figure.linkage_f:.3f} | {licence or 'not stated'} |"
        )
    return "\n".join(lines)


def _area(auc: float) -> str:
    return "none" if isnan(auc) else f"{auc:.3f}"


def _parameters(trained: Judged) -> int:
    return sum(weight.numel() for weight in trained.network.parameters())
