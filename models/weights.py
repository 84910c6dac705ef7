"""Weights on disk: `shoal.safetensors` beside `config.json`. No pickle anywhere."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from torch import nn

from models.conditions import CONDITIONS
from models.context import NUMBERS
from models.edge_features import FEATURES
from models.errors import WeightsError
from models.graph import K
from models.network import ASSIGNMENT_FEATURES, RUN_FEATURES, HiLanderNetwork
from models.pair_features import PAIR_FEATURES

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")
N = TypeVar("N", bound=nn.Module)

FORMAT = 3
TENSORS = "shoal.safetensors"
CONFIG = "config.json"
# The entry `input` of a config of `models.coordinate`.
COORDINATE = "coordinate"
# Entries of a config that must be those of this version.
SIZES = (
    "format",
    "k",
    "edge_features",
    "pair_features",
    "assignment_features",
    "run_features",
    "numbers",
    "conditions",
)
SHIPPED = Path(__file__).parent / "weights"


class Verdict(Protocol):
    """What the gate of a training found on classes held out."""

    @property
    def usable(self) -> bool:
        """Were both figures better than the plain ones?"""

    @property
    def edge_auc(self) -> float | None:
        """Of the model's edges."""

    @property
    def cosine_auc(self) -> float | None:
        """Of plain cosine."""

    @property
    def cluster_f(self) -> float:
        """Mean of pairwise and BCubed F of the model's clusters."""

    @property
    def linkage_f(self) -> float:
        """The same of average linkage."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the tensors are for. `usable` is false unless the training gate was passed.

    `edge_auc` and `cosine_auc`, `cluster_f` and `linkage_f` are the figures of that gate, on
    classes held out: see `models.training.gate.GateVerdict`.
    """

    hidden: int
    usable: bool
    edge_auc: float | None
    cosine_auc: float | None
    seed: int
    cluster_f: float = 0.0
    linkage_f: float = 0.0
    k: int = K
    edge_features: int = FEATURES
    pair_features: int = PAIR_FEATURES
    assignment_features: int = ASSIGNMENT_FEATURES
    run_features: int = RUN_FEATURES
    numbers: int = NUMBERS
    conditions: int = CONDITIONS
    format: int = FORMAT


def save_weights(folder: str | Path, network: nn.Module, config: "DataclassInstance") -> None:
    """Write both files into `folder`, which is made if need be."""
    from safetensors.torch import save_file

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    state = network.state_dict()
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    save_file(tensors, target / TENSORS)
    (target / CONFIG).write_text(json.dumps(asdict(config), indent=2) + "\n", encoding="utf-8")


def load_weights(
    folder: str | Path | None = None, *, allow_unusable: bool = False
) -> tuple[HiLanderNetwork, Config]:
    """Read a folder of a relational model that `save_weights` wrote; the shipped one if None.

    Raises `WeightsError` if a file is missing, damaged or of another format, and, unless
    `allow_unusable`, if its training did not pass the gate.
    """
    source = SHIPPED if folder is None else Path(folder)
    config = read_config(source, Config)
    expected = Config(0, usable=True, edge_auc=0, cosine_auc=0, seed=0)
    for name in SIZES:
        require_same(source, name, getattr(config, name), getattr(expected, name))
    refuse_unusable(source, config, allow_unusable=allow_unusable)
    return read_tensors(source, HiLanderNetwork(config.hidden)), config


def read_config(folder: Path, kind: type[C]) -> C:
    """`config.json` of a folder as a `kind`. Raises `WeightsError`."""
    read = read_json(folder)
    try:
        return kind(
            **{field.name: read[field.name] for field in fields(kind) if field.name in read}
        )
    except TypeError as error:
        raise WeightsError(f"{folder / CONFIG} cannot be read: {error!r}") from error


def read_json(folder: Path) -> dict[str, Any]:
    """`config.json` of a folder. Raises `WeightsError`."""
    try:
        read: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder / CONFIG} cannot be read: {error!r}") from error
    return read


def read_tensors(folder: Path, network: N) -> N:
    """Fill `network` with the tensors of a folder. Raises `WeightsError`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(folder / TENSORS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{folder / TENSORS} cannot be read: {error}") from error
    return network.eval()


def refuse_unusable(folder: Path, verdict: Verdict, *, allow_unusable: bool) -> None:
    """Raise `WeightsError` with the gate's figures unless it was passed or need not be."""
    if not verdict.usable and not allow_unusable:
        raise WeightsError(
            f"{folder} holds weights that are not usable: on held-out classes {figures_of(verdict)}"
        )


def figures_of(verdict: Verdict) -> str:
    """Both comparisons of the gate in words."""
    clusters = (
        f"their clusters have F {verdict.cluster_f:.3f}, average linkage {verdict.linkage_f:.3f}"
    )
    if verdict.edge_auc is None or verdict.cosine_auc is None:
        return f"all edges are of one kind, so there is nothing to tell apart; {clusters}"
    return (
        f"their edge AUC is {verdict.edge_auc:.3f}, plain cosine has {verdict.cosine_auc:.3f}; "
        f"{clusters}"
    )


def require_same(folder: Path, name: str, found: object, expected: object) -> None:
    """Raise `WeightsError` where weights are of another version of the features or the format."""
    if found != expected:
        raise WeightsError(
            f"{folder / CONFIG} has {name} {found}; this version of shoal reads {expected}"
        )
