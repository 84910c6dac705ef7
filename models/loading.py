"""From a folder of weights to the model that they are for."""

from pathlib import Path

from models.model import Model
from models.relational import RelationalModel
from models.weights import COORDINATE, SHIPPED, load_weights, read_json


def load_model(
    path: str | Path | None = None, device: str | None = None, *, allow_unusable: bool = False
) -> Model:
    """Load a weights folder, the shipped one if `path` is None.

    `device` is a torch name; None takes CUDA when there is one. Raises `WeightsError` if a file is
    missing, damaged or of another format, and, unless `allow_unusable`, if its training did not
    pass the gate; `BadInputError` for a device that torch does not know or cannot use.
    """
    source = SHIPPED if path is None else Path(path)
    if read_json(source).get("input") == COORDINATE:
        from models.coordinate.model import CoordinateModel
        from models.coordinate.weights import load_coordinate

        return CoordinateModel(*load_coordinate(source, allow_unusable=allow_unusable), device)
    return RelationalModel(*load_weights(source, allow_unusable=allow_unusable), device)
