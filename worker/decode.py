"""What a raw record means: an image to insert or replace, or one to erase."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import from_json

from worker.errors import Reason, RejectedError
from worker.image_id import id_from_field, id_from_key
from worker.message import (
    MAX_DIMENSION,
    MIN_DIMENSION,
    Message,
    Tags,
    rejection,
    shown,
)
from worker.records import Erase, Headers, RawRecord, Record, Upsert
from worker.vectors import unit_vector

JSON = "application/json"
FLOAT32 = "application/x-float32"
FLOAT16 = "application/x-float16"
CONTENT_TYPE_HEADER = "content-type"

_Kind = TypeVar("_Kind", bound=Tags)

_RAW_TYPES: dict[str, np.dtype[Any]] = {
    FLOAT32: np.dtype("<f4"),
    FLOAT16: np.dtype("<f2"),
    "application/octet-stream;dtype=float32": np.dtype("<f4"),
    "application/octet-stream;dtype=float16": np.dtype("<f2"),
}


@dataclass(frozen=True)
class FieldNames:
    """Where a message has what; dots lead into objects (`data.vector`).

    The same names, as they are, are those of the headers of records that are not JSON; a header
    with the collection also counts for JSON that names none. `id` is None where the id is the
    record's key.
    """

    embedding: str = "embedding"
    collection: str = "collection"
    model: str = "model"
    group: str = "group"
    uri: str = "uri"
    time: str = "time"
    id: str | None = None


@dataclass(frozen=True)
class DecodeSettings:
    """How records are read. Records that name no collection belong to `default_collection`."""

    default_collection: str = "main"
    max_record_bytes: int = 2**20
    fields: FieldNames = field(default_factory=FieldNames)


class Decoder:
    """Decodes and checks records one by one. Threads may share it."""

    def __init__(self, settings: DecodeSettings | None = None) -> None:
        self._settings = settings or DecodeSettings()
        names = self._settings.fields
        self._tag_names = {
            "collection": names.collection,
            "model": names.model,
            "group": names.group,
            "uri": names.uri,
            "time": names.time,
        }
        body = self._tag_names | {"embedding": names.embedding}
        if names.id is not None:
            body["id"] = names.id
        self._paths = {name: tuple(path.split(".")) for name, path in body.items()}
        # Most records say the same in their headers.
        self._tags_of = lru_cache(maxsize=64)(self._read_tags)

    def decode(self, raw: RawRecord) -> Record:
        """The meaning of `raw`, its vector of unit length. Raises `RejectedError`."""
        value = raw.value
        size = len(value or b"") + len(raw.key or b"")
        if size > self._settings.max_record_bytes:
            limit = self._settings.max_record_bytes
            raise RejectedError(
                Reason.TOO_LARGE, f"record: {size} bytes, at most {limit} are allowed"
            )
        if value is None:
            tags, id_ = self._from_headers(raw)
            return Erase(tags.collection or self._settings.default_collection, id_)
        number_type = _number_type(_header(raw.headers, CONTENT_TYPE_HEADER) or JSON)
        if number_type is None:
            tags, id_, numbers = self._from_json(raw, value)
        else:
            tags, id_ = self._from_headers(raw)
            numbers = _numbers(value, number_type)
        return Upsert(
            tags.collection or self._settings.default_collection,
            id_,
            unit_vector(numbers),
            tags.model,
            tags.group,
            tags.uri,
            tags.time,
        )

    def _from_json(self, raw: RawRecord, value: bytes) -> tuple[Message, str, NDArray[np.float64]]:
        try:
            body = from_json(value)
        except ValueError as error:
            raise RejectedError(Reason.NOT_JSON, f"value: {error}") from None
        if not isinstance(body, dict):
            raise RejectedError(Reason.NOT_JSON, f"value: {shown(body)}, must be a JSON object")
        fields = {name: look_up(body, path) for name, path in self._paths.items()}
        if fields["collection"] is None and raw.headers:
            fields["collection"] = _header(raw.headers, self._tag_names["collection"])
        message = _checked(Message, fields)
        id_ = id_from_key(raw.key) if "id" not in self._paths else id_from_field(message.id)
        numbers = np.fromiter(message.embedding, np.float64, len(message.embedding))
        return message, id_, numbers

    def _from_headers(self, raw: RawRecord) -> tuple[Tags, str]:
        tags, id_header = self._tags_of(raw.headers), self._settings.fields.id
        if id_header is not None and (id_ := _header(raw.headers, id_header)) is not None:
            return tags, id_from_field(id_)
        return tags, id_from_key(raw.key)

    def _read_tags(self, headers: Headers) -> Tags:
        return _checked(
            Tags, {name: _header(headers, header) for name, header in self._tag_names.items()}
        )


def _checked(kind: type[_Kind], fields: dict[str, Any]) -> _Kind:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise rejection(error, fields) from None


def look_up(body: object, path: tuple[str, ...]) -> object:
    """What is at `path` of a JSON value; None if nothing is."""
    value = body
    for step in path:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def _header(headers: Headers, name: str) -> str | None:
    """The last header of that name, as in Kafka's own clients; None if there is none."""
    found = None
    for header, value in headers:
        if header == name:
            found = value
    if found is None:
        return None
    try:
        return found.decode()
    except UnicodeDecodeError:
        raise RejectedError(
            Reason.BAD_FIELD, f"header {name}: {shown(found)}, must be UTF-8"
        ) from None


@lru_cache(maxsize=64)
def _number_type(content_type: str) -> np.dtype[Any] | None:
    """The type of the raw numbers, None for JSON. Raises `RejectedError` for other types."""
    plain = content_type.lower().replace(" ", "")
    if plain in _RAW_TYPES:
        return _RAW_TYPES[plain]
    kind = plain.partition(";")[0]
    if kind == JSON or kind.endswith("+json"):
        return None
    raise RejectedError(
        Reason.UNKNOWN_CONTENT_TYPE,
        f"content-type: {shown(content_type)}, allowed: {JSON}, {', '.join(_RAW_TYPES)}",
    )


def _numbers(value: bytes, number_type: np.dtype[Any]) -> NDArray[np.float64]:
    count, rest = divmod(len(value), number_type.itemsize)
    if not value:
        raise RejectedError(Reason.MISSING_EMBEDDING, "value: empty, must be the embedding")
    if rest or not MIN_DIMENSION <= count <= MAX_DIMENSION:
        raise RejectedError(
            Reason.BAD_FIELD,
            f"value: {len(value)} bytes, must be {MIN_DIMENSION} to {MAX_DIMENSION} numbers of "
            f"{number_type.itemsize} bytes",
        )
    return np.frombuffer(value, number_type).astype(np.float64)
