# ruff: noqa: INP001  a script, in no package
"""Draws the same scanned digits under all three words, as granularity.png for docs/models.md.

`.venv/bin/python docs/images/render_granularity.py`; needs matplotlib. All 1,797 digits of
scikit-learn are clustered; shown are those of the first rows, a frame of one colour for each group.
"""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from models import HiLander

SHOWN = 60
ACROSS = 12
WORDS = ("shot", "thing", "kind")


def main() -> None:
    """Cluster three times and draw."""
    digits = load_digits()
    figure = Figure(figsize=(9, 8), layout="constrained")
    for part, word in zip(figure.subfigures(len(WORDS), 1), WORDS, strict=True):
        labels = HiLander(granularity=word).fit_predict(digits.data)
        part.suptitle(f"granularity = {word}: {labels.max() + 1} groups", fontsize=9)
        groups, colour = np.unique(labels[:SHOWN], return_inverse=True)
        order = np.argsort(colour, kind="stable")
        cells = part.subplots(SHOWN // ACROSS, ACROSS).ravel()
        for cell, row in zip(cells, order, strict=True):
            cell.imshow(16 - digits.images[row], cmap="gray", vmin=0, vmax=16)
            cell.set(xticks=(), yticks=())
            shade = colormaps["gist_rainbow"](colour[row] / max(len(groups) - 1, 1))
            for side in cell.spines.values():
                side.set(color=shade, linewidth=3)
    figure.savefig(Path(__file__).with_name("granularity.png"), dpi=80)


if __name__ == "__main__":
    main()
