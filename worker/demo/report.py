"""The table at the end of the demo."""

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from worker.demo.digits import Digits
from worker.demo.play import Figures, labels
from worker.store.base import ImageState

_LOOK_UPS = 3


def print_report(console: Console, digits: Digits, figures: Figures) -> None:
    """Print what was measured, and three sample look-ups."""
    from models import evaluate

    predicted = labels(figures.states)
    scores = evaluate(digits.labels, predicted)
    table = Table(title="Shoal on 1,797 scanned digits", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("images", f"{len(digits.ids):,}")
    table.add_row("clusters", f"{len(np.unique(predicted)):,}")
    table.add_row(
        "reclusterings", f"{figures.reclusterings} ({figures.while_arriving} while images arrived)"
    )
    table.add_row("pairwise F against the true digits", f"{scores.pairwise_f:.3f}")
    table.add_row("BCubed F", f"{scores.bcubed_f:.3f}")
    table.add_row("NMI", f"{scores.nmi:.3f}")
    rate = len(digits.ids) / figures.elapsed
    table.add_row("images per second, as they were sent", f"{rate:,.0f}")
    table.add_row(
        "images per second of the worker's work", f"{len(digits.ids) / figures.busy:,.0f}"
    )
    table.add_row("time from produce to visible, p50 / p99", _percentiles(figures.visible))
    console.print(table)
    console.print(_look_ups(digits, figures.states))


def _percentiles(seconds: Sequence[float]) -> str:
    if not seconds:
        return "not measured (read from a file)"
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return f"{p50:,.0f} ms / {p99:,.0f} ms"


def _look_ups(digits: Digits, states: Sequence[ImageState | None]) -> Table:
    table = Table("shoal get", "the digit is", "cluster", "confidence", title="Look-ups")
    for number in range(0, len(digits.ids), len(digits.ids) // _LOOK_UPS + 1):
        state = states[number]
        if state is not None:
            table.add_row(
                digits.ids[number],
                str(digits.labels[number]),
                state.cluster,
                f"{state.confidence:.2f}",
            )
    return table
