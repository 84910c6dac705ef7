"""Weights on disk: `shoal.safetensors` beside `config.json`. No pickle anywhere."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from models.conditions import CONDITIONS
from models.context import NUMBERS
from models.edge_features import FEATURES
from models.errors import WeightsError
from models.graph import K
from models.network import HiLanderNetwork
from models.pair_features import PAIR_FEATURES

FORMAT = 1
TENSORS = "shoal.safetensors"
CONFIG = "config.json"
SHIPPED = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class Config:
    """What the tensors are for. `usable` is false unless the training gate was passed.

    `edge_auc` and `cosine_auc` are the figures of that gate, on classes held out.
    """

    hidden: int
    usable: bool
    edge_auc: float
    cosine_auc: float
    seed: int
    k: int = K
    edge_features: int = FEATURES
    pair_features: int = PAIR_FEATURES
    numbers: int = NUMBERS
    conditions: int = CONDITIONS
    format: int = FORMAT


def save_weights(folder: str | Path, network: HiLanderNetwork, config: Config) -> None:
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
    """Read a folder that `save_weights` wrote; the shipped one if None.

    Raises `WeightsError` if a file is missing, damaged or of another format, and, unless
    `allow_unusable`, if its training did not pass the gate.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    source = SHIPPED if folder is None else Path(folder)
    config = _config(source / CONFIG)
    if not config.usable and not allow_unusable:
        raise WeightsError(
            f"{source} holds weights that are not usable: their edge AUC on held-out classes is "
            f"{config.edge_auc:.3f}, plain cosine has {config.cosine_auc:.3f}"
        )
    network = HiLanderNetwork(config.hidden)
    try:
        network.load_state_dict(load_file(source / TENSORS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{source / TENSORS} cannot be read: {error}") from error
    return network.eval(), config


def _config(path: Path) -> Config:
    try:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        config = Config(**{field.name: read[field.name] for field in fields(Config)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} cannot be read: {error!r}") from error
    expected = Config(0, usable=True, edge_auc=0, cosine_auc=0, seed=0)
    for name in ("format", "k", "edge_features", "pair_features", "numbers", "conditions"):
        if getattr(config, name) != getattr(expected, name):
            raise WeightsError(
                f"{path} has {name} {getattr(config, name)}; "
                f"this version of shoal reads {getattr(expected, name)}"
            )
    return config
