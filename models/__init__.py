"""Hi-LANDER: clusters image embeddings of classes that it never saw.

`cluster(features)` is all that a batch needs; `HiLander` is the same with the manners of
scikit-learn; a service keeps a `Model` (`load_model`) and a k-NN graph.
Importing this package loads nothing heavy: names are resolved when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.clustering import Clustering, cluster
    from models.context import CollectionContext
    from models.errors import BadInputError, ModelError, WeightsError
    from models.facts import ask, calibrated
    from models.graph import KnnGraph, exact_knn
    from models.hilander import HiLander
    from models.loading import load_model
    from models.metrics import Scores, bcubed_f, evaluate, nmi, pairwise_f
    from models.model import Model

__all__ = [
    "BadInputError",
    "Clustering",
    "CollectionContext",
    "HiLander",
    "KnnGraph",
    "Model",
    "ModelError",
    "Scores",
    "WeightsError",
    "ask",
    "bcubed_f",
    "calibrated",
    "cluster",
    "evaluate",
    "exact_knn",
    "load_model",
    "nmi",
    "pairwise_f",
]

_HOME = {
    "BadInputError": "models.errors",
    "Clustering": "models.clustering",
    "CollectionContext": "models.context",
    "HiLander": "models.hilander",
    "KnnGraph": "models.graph",
    "Model": "models.model",
    "ModelError": "models.errors",
    "Scores": "models.metrics",
    "WeightsError": "models.errors",
    "ask": "models.facts",
    "bcubed_f": "models.metrics",
    "calibrated": "models.facts",
    "cluster": "models.clustering",
    "evaluate": "models.metrics",
    "exact_knn": "models.graph",
    "load_model": "models.loading",
    "nmi": "models.metrics",
    "pairwise_f": "models.metrics",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
