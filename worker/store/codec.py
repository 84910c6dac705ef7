"""How values are written in Redis: as text, which `redis-cli` and any language can read."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from worker.store.base import ClusterInfo, Event, EventKind, ImageState

# Redis keeps a hash compact while no field and no value is longer (hash-max-listpack-value).
MAX_STATE_BYTES = 64
# Fields of an event that hold the id of an image.
IMAGE_FIELDS = ("image", "other")
_FLAGS = {True: "p", False: "f"}


def encode_state(state: ImageState) -> str:
    """`CLUSTER CONFIDENCE p|f GENERATION` (provisional, final), at most 64 bytes.

    The confidence keeps four decimals. Raises `ValueError` for a cluster id that does not fit.
    """
    flag = _FLAGS[state.provisional]
    text = f"{state.cluster} {state.confidence:.4f} {flag} {state.generation}"
    if not re.fullmatch(r"\S+", state.cluster) or len(text.encode()) > MAX_STATE_BYTES:
        raise ValueError(f"cluster {state.cluster!r}: 1 to 32 bytes, no white space")
    return text


def decode_state(text: str) -> ImageState:
    """The inverse of `encode_state`, but for the rounding of the confidence."""
    cluster, confidence, flag, generation = text.split(" ")
    return ImageState(cluster, float(confidence), flag == _FLAGS[True], int(generation))


def encode_info(info: ClusterInfo) -> str:
    """A JSON object with `created`, and with `name` and `exemplar` where there is one."""
    fields = {"created": info.created, "name": info.name, "exemplar": info.exemplar}
    return json.dumps({k: v for k, v in fields.items() if v is not None}, ensure_ascii=False)


def decode_info(cluster: str, text: str | None) -> ClusterInfo:
    """The inverse of `encode_info`; a cluster nothing was said about was created at time 0."""
    fields: dict[str, Any] = json.loads(text) if text else {}
    return ClusterInfo(
        cluster, fields.get("created", 0.0), fields.get("name"), fields.get("exemplar")
    )


def event_fields(event: Event, sequence: int) -> dict[str, str]:
    """The fields of the event's entry in the stream: its data, `kind` and `sequence`."""
    return {**event.data, "kind": event.kind.value, "sequence": str(sequence)}


def names(fields: Mapping[str, str], images: Collection[str]) -> bool:
    """Whether an event with these fields is about one of `images`."""
    return any(fields.get(name) in images for name in IMAGE_FIELDS)


def decode_event(fields: Mapping[str, str]) -> Event:
    """The event of an entry; `sequence` stays among its data."""
    return Event(
        EventKind(fields["kind"]), {name: text for name, text in fields.items() if name != "kind"}
    )
