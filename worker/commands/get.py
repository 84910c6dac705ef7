"""`shoal get`: the cluster of an image."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from worker.commands.reading import (
    AsJson,
    Collection,
    Config,
    ImageIds,
    Prefix,
    RedisUrl,
    find_place,
    print_object,
    print_table,
    wanted,
)

if TYPE_CHECKING:
    from worker.store.base import ImageState

_FIELDS = ["id", "cluster", "confidence", "provisional", "generation", "name"]
_IDS_PER_REQUEST = 1_000


def get(
    ids: ImageIds,
    redis_url: RedisUrl = None,
    prefix: Prefix = None,
    collection: Collection = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Print the current cluster of each image."""
    from worker.client import Client
    from worker.store.plan import chunks

    rows: list[tuple[object, ...]] = []
    place = find_place(redis_url, prefix, collection, config)
    with Client(place.redis_url, place.redis_prefix) as client:
        for part in chunks(wanted(ids), _IDS_PER_REQUEST):
            states = client.get(place.collection, part)
            clusters = list(dict.fromkeys(state.cluster for state in states if state))
            names = dict(zip(clusters, client.names(place.collection, clusters), strict=True))
            for image, state in zip(part, states, strict=True):
                found = _as_json(image, state, names)
                if json:
                    print_object(found)
                else:
                    rows.append(tuple(found.values()))
    if not json:
        print_table(f"images of {place.collection}", _FIELDS, rows)


def _as_json(
    image: str, state: "ImageState | None", names: Mapping[str, str | None]
) -> dict[str, Any]:
    name = names[state.cluster] if state else None
    fields = {field: getattr(state, field, None) for field in _FIELDS[1:-1]}
    return {"id": image} | fields | {"name": name}
