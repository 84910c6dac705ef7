"""The message of an image, described once for its checks and for the documentation."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from worker.errors import Reason, RejectedError, SettingsError

COLLECTION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@:+-]{0,127}$"
MIN_DIMENSION = 2
MAX_DIMENSION = 65_536
_YEAR_10000 = 253_402_300_800.0
_SHOWN_CHARACTERS = 60


def _seconds(value: object) -> object:
    """A time written as text: a number, or ISO 8601 (in UTC where it names no zone)."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        moment = datetime.fromisoformat(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _name(value: object) -> object:
    """An integer that names something (a user, an album, a photo) is as good as a text."""
    return str(value) if type(value) is int else value


Text = Annotated[str, BeforeValidator(_name), Field(min_length=1, max_length=256)]
CollectionName = Annotated[str, BeforeValidator(_name), Field(pattern=COLLECTION_PATTERN)]
Seconds = Annotated[
    float, BeforeValidator(_seconds), Field(ge=0, lt=_YEAR_10000, allow_inf_nan=False)
]


class Tags(BaseModel):
    """What may be said of an image beside its embedding; all of it is optional."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", hide_input_in_errors=True)

    collection: CollectionName | None = Field(None, description="Collection it belongs to.")
    model: Text | None = Field(None, description="Name of the model that made the embedding.")
    group: Text | None = Field(None, description="Photo that this detection is part of.")
    uri: str | None = Field(None, max_length=4096, description="Where the image is.")
    time: Seconds | None = Field(
        None, description="When it was taken: seconds since 1970, or ISO 8601."
    )


class Message(Tags):
    """The JSON message."""

    embedding: list[float] = Field(
        min_length=MIN_DIMENSION,
        max_length=MAX_DIMENSION,
        description="The vector, of any length but zero.",
    )
    id: str | int | None = Field(None, description="The image's id, where it is not the key.")


def check_collection(name: str) -> None:
    """Raise `SettingsError` if `name` cannot be that of a collection."""
    if not re.fullmatch(COLLECTION_PATTERN, name):
        raise SettingsError(f"collection: {shown(name)}: must match {COLLECTION_PATTERN}")


def rejection(error: ValidationError, fields: dict[str, Any]) -> RejectedError:
    """The refusal that names the first field at fault, its value and what is allowed."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    if name == "embedding" and fields.get(name) is None:
        return RejectedError(Reason.MISSING_EMBEDDING, "embedding: missing, must be an array")
    value = fields.get(name)
    place = name
    if len(first["loc"]) > 1 and isinstance(index := first["loc"][1], int):
        place, value = f"{name}[{index}]", fields[name][index]
    reason = Reason.BAD_COLLECTION if name == "collection" else Reason.BAD_FIELD
    what = first["msg"].removeprefix("Value error, ")
    return RejectedError(reason, f"{place}: {shown(value)}: {what}")


def shown(value: object) -> str:
    """`value` as a person should see it in an error, shortened."""
    if isinstance(value, list):
        return f"an array of {len(value)}"
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
