"""What the commands that read from Redis share: their options and how they print."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

RedisUrl = Annotated[
    str, typer.Option("--redis-url", envvar="SHOAL_REDIS_URL", help="Where the groups are.")
]
Prefix = Annotated[
    str,
    typer.Option(
        "--redis-prefix",
        "--prefix",
        envvar="SHOAL_REDIS_PREFIX",
        help="What the Redis keys start with.",
    ),
]
Collection = Annotated[
    str, typer.Option("--collection", envvar="SHOAL_COLLECTION", help="The collection to read.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
DEFAULT_PREFIX = "shoal"


def utc(seconds: float) -> str:
    """A time in seconds since 1970, as people write it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


def print_object(fields: Mapping[str, Any]) -> None:
    """Print one JSON object on one line."""
    print(json.dumps(fields, ensure_ascii=False))


def print_table(title: str, columns: list[str], rows: Sequence[tuple[object, ...]]) -> None:
    """Print a table; ids are folded, never cut off. None is left blank."""
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    console = Console()
    console.print(title, markup=False, highlight=False, soft_wrap=True)
    console.print(table)
