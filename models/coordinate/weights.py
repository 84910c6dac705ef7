"""A coordinate model on disk: the same two files as the shipped one."""

from dataclasses import dataclass
from pathlib import Path

from models.coordinate.network import CoordinateNetwork
from models.errors import BadInputError, WeightsError
from models.weights import (
    CONFIG,
    COORDINATE,
    read_config,
    read_tensors,
    refuse_unusable,
    require_same,
)

FORMAT = 1
# Neighbours that the convolution reads: the paper's ten, one of which was the node itself.
NEIGHBOURS = 9


@dataclass(frozen=True, slots=True)
class CoordinateConfig:
    """What the tensors are for, and what training found on classes that were not trained on.

    `tau` is the threshold of the first level's forest, `tau_above` that of the others. A logit z
    of an edge means the probability sigmoid(slope z + offset). `usable` is false unless the gate
    was passed (`models.training.gate`), whose figures the next four are.
    """

    dimension: int
    hidden: int
    convolution: str
    tau: float
    tau_above: float
    slope: float
    offset: float
    usable: bool
    edge_auc: float | None
    cosine_auc: float | None
    cluster_f: float
    linkage_f: float
    seed: int
    neighbours: int = NEIGHBOURS
    input: str = COORDINATE
    format: int = FORMAT


def load_coordinate(
    folder: Path, *, allow_unusable: bool = False
) -> tuple[CoordinateNetwork, CoordinateConfig]:
    """Read a folder of a coordinate model. Raises `WeightsError` as `load_weights` does."""
    config = read_config(folder, CoordinateConfig)
    require_same(folder, "format", config.format, FORMAT)
    refuse_unusable(folder, config, allow_unusable=allow_unusable)
    try:
        network = CoordinateNetwork(config.dimension, config.hidden, config.convolution)
    except BadInputError as error:
        raise WeightsError(f"{folder / CONFIG}: {error}") from error
    return read_tensors(folder, network), config
