"""MODEL_CARD.md: what a weights folder was made from and what it is worth."""

from collections.abc import Sequence
from pathlib import Path

from models.training.run import Trained
from models.training.sources import LabelledSet
from models.weights import save_weights

CARD = "MODEL_CARD.md"


def save_trained(
    folder: str | Path, trained: Trained, sets: Sequence[LabelledSet], extra: str = ""
) -> None:
    """Write weights, config and card; `extra` is markdown that ends the card."""
    save_weights(folder, trained.network, trained.config)
    text = model_card(trained, sets) + (f"\n{extra.strip()}\n" if extra else "")
    (Path(folder) / CARD).write_text(text, encoding="utf-8")


def model_card(trained: Trained, sets: Sequence[LabelledSet]) -> str:
    """The card as markdown."""
    config = trained.config
    verdict = "usable" if config.usable else "NOT usable: plain cosine is as good"
    lines = [
        "# Hi-LANDER weights",
        "",
        "Relational: every input is a number that no rotation of the embedding space can change,",
        "so the weights are not bound to an encoder or a dimension. See docs/models.md.",
        "",
        f"* Verdict of the gate: **{verdict}**.",
        (
            f"* Edge AUC on held-out classes {config.edge_auc:.3f}, "
            f"plain cosine {config.cosine_auc:.3f} (mean over the sets below)."
        ),
        f"* Seed {config.seed}, hidden width {config.hidden}, {_parameters(trained):,} parameters.",
        (
            f"* {trained.episodes} episodes of {trained.rows:,} rows; last losses: edges "
            f"{trained.edge_loss:.4f}, pairs {trained.pair_loss:.4f}."
        ),
        "",
        "## Trained on",
        "",
        "A tenth of each set's classes was held out; the figures are of those.",
        "",
        "| set | classes are | rows | classes | edge AUC | cosine AUC |",
        "|---|---|---|---|---|---|",
    ]
    figures = {figure.name: figure for figure in trained.figures}
    for source in sets:
        figure = figures.get(source.name)
        gate = f"{figure.edge_auc:.3f} | {figure.cosine_auc:.3f}" if figure else "- | -"
        lines.append(
            f"| {source.name} | {source.granularity or 'mixed'} | {len(source):,} | "
            f"{source.classes:,} | {gate} |"
        )
    return "\n".join(lines) + "\n"


def _parameters(trained: Trained) -> int:
    return sum(weight.numel() for weight in trained.network.parameters())
