"""A small JSON file that carries the checksum of its own bytes."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from index.checksums import FILE_KIND, text_checksum

KEY = "checksum"
# Stands in the place of the checksum while it is computed.
_BLANK = FILE_KIND + "0" * 32


def seal(fields: Mapping[str, Any], *, indent: int | None = 1) -> str:
    """`fields` as JSON, with their checksum in front; without `indent` all of it is one line."""
    text = json.dumps({KEY: _BLANK, **fields}, indent=indent) + "\n"
    return text.replace(_BLANK, text_checksum(text.encode()), 1)


def is_sealed(content: bytes) -> bool:
    """Whether `seal` made it, with indent; no single wrong bit makes it look otherwise."""
    return content.startswith(b"{\n")


def parsed(content: bytes) -> dict[str, Any]:
    """The fields of a JSON object, sealed or not. Raises ValueError where it is none."""
    try:
        fields = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is no JSON that this program wrote") from error
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  the file is wrong, not a type
    return fields


def unseal(content: bytes, *, bare: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a sealed file. Raises ValueError when it is not what `seal` made.

    One that has just the fields `bare` is of a version that gave it no checksum, and is taken.
    """
    fields = parsed(content)
    if bare and fields.keys() == set(bare):
        return fields
    found = fields.pop(KEY, None)
    if not isinstance(found, str):
        raise ValueError("it carries no checksum")  # noqa: TRY004  the file is wrong, not a type
    if text_checksum(content.replace(found.encode(), _BLANK.encode(), 1)) != found:
        raise ValueError("its content is not that of its checksum")
    return fields
