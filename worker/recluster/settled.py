"""A run of the model that heeds what people answered, and asks what it would like to know."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from models import Clustering, ask, calibrated
from worker.recluster.view import View

QUESTIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled(Clustering):
    """A clustering, and the pairs of rows int64 [m, 2] of which an answer would tell it most."""

    questions: NDArray[np.int64]


def settled(found: Clustering, view: View) -> Settled:
    """`found`, cut as coarsely as the view's facts say.

    Always asks about the hierarchy as it was before: answers about what is in doubt once others
    are heeded say little of the rest. Where the size of groups is told, answers would change
    nothing: none are heeded, and nothing is asked; nor does a model without a hierarchy ask.
    """
    questions = np.zeros((0, 2), np.int64)
    result = found
    if found.hierarchy is not None and view.group_size is None:
        questions = ask(found, QUESTIONS, seed=view.generation)
        if len(view.facts):
            result = calibrated(found, view.facts[:, :2], view.facts[:, 2])
    return Settled(
        **{field.name: getattr(result, field.name) for field in fields(Clustering)},
        questions=questions,
    )
