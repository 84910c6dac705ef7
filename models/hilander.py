"""`HiLander`: the clusterer, with the manners of scikit-learn."""

import inspect
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.clustering import Clustering, cluster
from models.context import CollectionContext
from models.errors import BadInputError
from models.facts import ask, calibrated
from models.graph import KnnGraph
from models.loading import load_model
from models.model import Model
from models.sparse_graph import knn_graph


class HiLander:
    """Clusters embeddings of classes that it never saw; a scikit-learn clusterer, and a `Model`.

    `weights` is a folder of weights (None: the shipped ones), `granularity` and `group_size` say
    what a group is, as for `models.cluster`; `device` is a torch name (None: CUDA when there is
    one); everything random follows from `random_state`; weights that failed their gate are refused
    unless `allow_unusable`. Weights are loaded when they are first needed. Needs no scikit-learn,
    and works with its tools where that is installed.

    After `fit`: `labels_` int64 [n]; `probabilities_` float32 [n], how likely each row belongs to
    its cluster; `levels_`, nested label arrays [n] from fine to coarse; `exemplars_` int64
    [clusters], the most typical row of each; `expected_precision_`, `expected_recall_` and
    `expected_f_`, the pairwise figures that the model expects of itself; `method_` and `reason_`,
    how the clusters were made and why; `result_`, the `Clustering`; `n_features_in_`.
    """

    _estimator_type = "clusterer"

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        granularity: str | None = "thing",
        group_size: float | None = None,
        device: str | None = None,
        random_state: int = 0,
        allow_unusable: bool = False,
    ) -> None:
        self.weights = weights
        self.granularity = granularity
        self.group_size = group_size
        self.device = device
        self.random_state = random_state
        self.allow_unusable = allow_unusable

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        device: str | None = None,
        *,
        allow_unusable: bool = False,
    ) -> Self:
        """A clusterer whose weights are loaded at once. Raises `WeightsError` as `load_model`."""
        made = cls(path, device=device, allow_unusable=allow_unusable)
        made.model  # noqa: B018  loads
        return made

    @property
    def model(self) -> Model:
        """The loaded weights. Raises `WeightsError` as `load_model`."""
        wanted = (self.weights, self.device, self.allow_unusable)
        loaded: tuple[Any, Model] | None = getattr(self, "_loaded", None)
        if loaded is None or loaded[0] != wanted:
            path, device, unusable = wanted
            loaded = (wanted, load_model(path, device, allow_unusable=unusable))
            self._loaded = loaded
        return loaded[1]

    def fit(self, X: ArrayLike, y: object = None, *, graph: Any = None) -> Self:
        """Cluster `X`, any real array [n, d]. Blocks. `y` is ignored.

        `graph` is the k-NN graph of `X`, if it is at hand: a `KnnGraph`, or a sparse matrix of
        cosine distances as of `sklearn.neighbors.kneighbors_graph`. Raises `BadInputError`, which
        is a `ValueError`, naming the first row that is NaN, infinite or zero.
        """
        del y
        features = _dense(X)
        result = cluster(
            features,
            model=self,
            graph=None if graph is None else knn_graph(graph, self.model.k),
        )
        self.n_features_in_ = features.shape[1]
        self._run = result
        return self._take(result)

    def ask(self, count: int = 100) -> NDArray[np.int64]:
        """The pairs of rows of the last `fit` whose answers would tell most, as `models.ask`;
        the same before and after answers.
        """
        return ask(self._fitted(), count, seed=self.random_state)

    def calibrate(self, pairs: ArrayLike, same: ArrayLike) -> Self:
        """Cut the last `fit` anew so that it agrees with answers, as `models.calibrated`.

        Answers of earlier calls do not count: give all at once.
        """
        return self._take(calibrated(self._fitted(), pairs, same))

    def _fitted(self) -> Clustering:
        if not hasattr(self, "_run"):
            raise BadInputError("nothing is clustered yet: call fit before ask or calibrate")
        return self._run

    def _take(self, result: Clustering) -> Self:
        self.result_ = result
        self.labels_ = result.labels
        self.probabilities_ = result.confidence
        self.levels_ = result.levels
        self.exemplars_ = result.exemplars
        self.expected_precision_ = result.expected_precision
        self.expected_recall_ = result.expected_recall
        self.expected_f_ = result.expected_f
        self.method_, self.reason_ = result.method, result.reason
        return self

    def fit_predict(
        self, X: ArrayLike, y: object = None, *, graph: Any = None
    ) -> NDArray[np.int64]:
        """`labels_` after `fit` with the same arguments."""
        return self.fit(X, y, graph=graph).labels_

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor. `deep` is ignored: nothing here has parameters."""
        del deep
        return {name: getattr(self, name) for name in _parameters(type(self))}

    def set_params(self, **parameters: Any) -> Self:
        """Change arguments of the constructor. Raises `BadInputError` for others."""
        known = _parameters(type(self))
        for name, value in parameters.items():
            if name not in known:
                raise BadInputError(f"{name!r} is no parameter of HiLander: {', '.join(known)}")
            setattr(self, name, value)
        return self

    def cluster(
        self,
        vectors: NDArray[np.float32],
        graph: KnnGraph,
        counts: NDArray[np.int32] | None = None,
        **options: Any,
    ) -> Clustering:
        """As `Model.cluster`, for a service that keeps unit vectors and their graph.

        Of `options` those that are not given are the clusterer's parameters, `seed` its
        `random_state`.
        """
        return self.model.cluster(vectors, graph, counts, **(self._own() | options))

    def context(
        self,
        vectors: NDArray[np.float32],
        graph: KnnGraph,
        counts: NDArray[np.int32] | None = None,
        **options: Any,
    ) -> CollectionContext:
        """As `Model.context`, with `options` as for `cluster`."""
        return self.model.context(vectors, graph, counts, **(self._own() | options))

    def edge_probabilities(
        self,
        vectors: NDArray[np.float32],
        graph: KnnGraph,
        rows: NDArray[np.integer],
        context: CollectionContext,
        **options: Any,
    ) -> NDArray[np.float32]:
        """As `Model.edge_probabilities`."""
        return self.model.edge_probabilities(vectors, graph, rows, context, **options)

    def _own(self) -> dict[str, Any]:
        return {
            "granularity": self.granularity,
            "group_size": self.group_size,
            "seed": self.random_state,
        }

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn, which alone asks this, wants to know of a clusterer."""
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags("clusterer", TargetTags(required=False), input_tags=InputTags())

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"HiLander({given})"


def _parameters(kind: type[HiLander]) -> list[str]:
    return [name for name in inspect.signature(kind.__init__).parameters if name != "self"]


def _dense(X: ArrayLike) -> NDArray[Any]:
    """`X` as an array; tables and arrays of objects too, if they hold numbers."""
    if hasattr(X, "tocsr"):
        raise BadInputError("X is a sparse matrix; embeddings must be a dense array [n, d]")
    features = np.asarray(X)
    if np.iscomplexobj(features):
        raise BadInputError("Complex data not supported: X must be real numbers")
    if features.dtype == object:
        features = features.astype(np.float64)
    if features.ndim != 2:
        raise BadInputError(f"X has shape {features.shape}; it must be [n, d]")
    return features
