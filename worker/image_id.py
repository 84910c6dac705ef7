"""Image ids: UTF-8, 1 to 256 bytes."""

from worker.errors import Reason, RejectedError
from worker.message import shown

MAX_ID_BYTES = 256


def id_from_key(key: bytes | None) -> str:
    """The id that `key` is. Raises `RejectedError`."""
    if not key:
        raise RejectedError(Reason.MISSING_ID, "key: missing, must be the image's id")
    if len(key) > MAX_ID_BYTES:
        raise _too_long("key", key, len(key))
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise RejectedError(Reason.BAD_FIELD, f"key: {shown(key)}, must be UTF-8") from None


def id_from_field(id_: str | int | None) -> str:
    """The id that a field or a header holds. Raises `RejectedError`."""
    if id_ is None or id_ == "":
        raise RejectedError(Reason.MISSING_ID, "id: missing, must be the image's id")
    text = str(id_)
    if (size := len(text.encode())) > MAX_ID_BYTES:
        raise _too_long("id", text, size)
    return text


def _too_long(name: str, value: object, size: int) -> RejectedError:
    return RejectedError(
        Reason.ID_TOO_LONG,
        f"{name}: {shown(value)} has {size} bytes, at most {MAX_ID_BYTES} are allowed",
    )
