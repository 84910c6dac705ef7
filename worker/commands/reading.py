"""What the commands that read from Redis share: their options and how they print."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

RedisUrl = Annotated[
    str | None,
    typer.Option("--redis-url", help="Where the groups are. [SHOAL_REDIS_URL]", metavar="URL"),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        "--redis-prefix",
        "--prefix",
        help="What the Redis keys start with. [SHOAL_REDIS_PREFIX]",
        metavar="TEXT",
    ),
]
Collection = Annotated[
    str | None,
    typer.Option("--collection", help="The collection to read. [SHOAL_COLLECTION]", metavar="NAME"),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", envvar="SHOAL_CONFIG", help="TOML file of settings.", metavar="FILE"),
]
ImageIds = Annotated[
    list[str], typer.Argument(help="Image ids; - reads them from standard input, one a line.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

# Wider than any table; a table is only as wide as it must be.
_ANY_WIDTH = 100_000


@dataclass(frozen=True)
class Place:
    """Where to read, and what."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    redis_prefix: str = "shoal"
    collection: str = "main"


def find_place(
    redis_url: str | None, prefix: str | None, collection: str | None, config: Path | None
) -> Place:
    """The place that environment, `config` and options name, in rising order.

    Raises `SettingsError` for a file that cannot work.
    """
    options = {"redis_url": redis_url, "redis_prefix": prefix, "collection": collection}
    if config is not None:
        from worker.settings import load

        settings = load(options, config)
        return Place(
            settings.redis_url.get_secret_value(), settings.redis_prefix, settings.collection
        )
    # As `load` would do it, but in a fraction of the time.
    named = {
        name: os.environ.get(f"SHOAL_{name.upper()}") or None if value is None else value
        for name, value in options.items()
    }
    return Place(**{name: value for name, value in named.items() if value is not None})


def wanted(ids: list[str]) -> Iterable[str]:
    """The ids of `ImageIds`."""
    if ids != ["-"]:
        return ids
    lines = (line.rstrip("\r\n") for line in sys.stdin)
    return (line for line in lines if line)


def utc(seconds: float) -> str:
    """A time in seconds since 1970, as people write it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


def print_object(fields: Mapping[str, Any]) -> None:
    """Print one JSON object on one line."""
    print(json.dumps(fields, ensure_ascii=False))


def print_table(title: str, columns: list[str], rows: Sequence[tuple[object, ...]]) -> None:
    """Print a table as wide as it is, so that ids can be copied. None is left blank."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_header=any(columns))
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    print(title)
    Console(width=_ANY_WIDTH).print(table)
