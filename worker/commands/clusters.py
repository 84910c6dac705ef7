"""`shoal clusters`: the clusters of a collection."""

from dataclasses import asdict
from typing import Annotated

import typer

from worker.commands.reading import (
    DEFAULT_PREFIX,
    DEFAULT_REDIS_URL,
    AsJson,
    Collection,
    Prefix,
    RedisUrl,
    print_object,
    print_table,
    utc,
)

_FIELDS = ["id", "size", "name", "exemplar", "created"]


def clusters(
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most so many; all if not given.")
    ] = None,
    redis_url: RedisUrl = DEFAULT_REDIS_URL,
    prefix: Prefix = DEFAULT_PREFIX,
    collection: Collection = "main",
    json: AsJson = False,
) -> None:
    """Print the clusters, largest first; with --json one object a line."""
    from worker.client import Client

    with Client(redis_url, prefix) as client:
        states = client.clusters(collection, limit)
    if json:
        for state in states:
            fields = asdict(state)
            print_object({name: fields[name] for name in _FIELDS})
        return
    rows = [(s.id, s.size, s.name, s.exemplar, utc(s.created)) for s in states]
    print_table(f"clusters of {collection}", _FIELDS, rows)
