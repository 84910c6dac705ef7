"""`shoal clusters`: the clusters of a collection."""

from dataclasses import asdict
from typing import Annotated

import typer

from worker.commands.reading import (
    AsJson,
    Collection,
    Config,
    Prefix,
    RedisUrl,
    find_place,
    print_object,
    print_table,
    utc,
)

_FIELDS = ["id", "size", "name", "exemplar", "created"]


def clusters(
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most so many; all if not given.")
    ] = None,
    redis_url: RedisUrl = None,
    prefix: Prefix = None,
    collection: Collection = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Print the clusters, largest first; with --json one object a line."""
    from worker.client import Client

    place = find_place(redis_url, prefix, collection, config)
    with Client(place.redis_url, place.redis_prefix) as client:
        states = client.clusters(place.collection, limit)
    if json:
        for state in states:
            fields = asdict(state)
            print_object({name: fields[name] for name in _FIELDS})
        return
    rows = [(s.id, s.size, s.name, s.exemplar, utc(s.created)) for s in states]
    print_table(f"clusters of {place.collection}", _FIELDS, rows)
