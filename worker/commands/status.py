"""`shoal status`: how a collection is, or all of them."""

import json as jsonlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from worker.store.base import Summary

_OF_ALL = ["collection", "images", "clusters", "rows", "generation", "lag"]


def status(
    every: Annotated[
        bool, typer.Option("--all", help="Every collection; with --json one object a line.")
    ] = False,
    redis_url: RedisUrl = None,
    prefix: Prefix = None,
    collection: Collection = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Print images, clusters, rows, generation, lag and the times of the last successes."""
    from worker.client import Client

    place = find_place(redis_url, prefix, collection, config)
    with Client(place.redis_url, place.redis_prefix) as client:
        names = client.collections() if every else [place.collection]
        states = [_merged(name, client.summary(name), client.status(name)) for name in names]
    if json:
        for state in states:
            print_object(state)
    elif every:
        rows = [tuple(_cell(name, state[name]) for name in _OF_ALL) for state in states]
        print_table("collections", _OF_ALL, rows)
    else:
        published = "" if states[0]["published"] else " (nothing published yet)"
        cells = [(name, _cell(name, value)) for name, value in states[0].items()]
        print_table(f"collection {place.collection}{published}", ["", ""], cells)


def _merged(
    collection: str, summary: "Summary | None", told: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What the worker told of itself last, under what Redis counts now."""
    nothing = {"images": 0, "clusters": 0, "rows": 0, "generation": 0, "lag": None}
    published = asdict(summary) if summary else {}
    head = {"collection": collection, "published": summary is not None}
    return head | nothing | dict(told or {}) | published


def _cell(name: str, value: Any) -> object:
    if isinstance(value, int | float) and (name == "updated" or name.startswith("last_")):
        return utc(value)
    return jsonlib.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
