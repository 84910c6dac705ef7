"""The single values that a collection keeps: a frozen value, and where it is stored."""

import json
import sqlite3
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class State:
    """`sequence` counts publications, `epoch` is the last lease held, `generation` the last run
    whose clusters are published, `adopting` the run being published now (0: none), whose new
    clusters have numbers from `adopting_first` on and whose first `adopting_events` events are in
    the outbox, `runs` the number of the last run started. `added` and `erased` count images ever;
    the values `clustered_` are what the last run that ended had found, and when (seconds since
    1970; 0: never). `followed`: 1 while
    its worker stands by for another one, whose clusters it will take.
    """

    sequence: int = 0
    epoch: int = 0
    generation: int = 0
    adopting: int = 0
    adopting_first: int = 0
    adopting_events: int = 0
    runs: int = 0
    added: int = 0
    erased: int = 0
    clustered_at: float = 0.0
    clustered_added: int = 0
    clustered_erased: int = 0
    clustered_rows: int = 0
    followed: int = 0


def read_state(connection: sqlite3.Connection) -> State:
    """The stored state, with defaults for what was never stored."""
    stored = dict(connection.execute("SELECT key, value FROM state"))
    known = {field.name for field in fields(State)}
    numbers = {name: json.loads(value) for name, value in stored.items() if name in known}
    return State(**numbers)


def write_state(connection: sqlite3.Connection, old: State, new: State) -> None:
    """Store what differs between `old` and `new`, within the caller's transaction."""
    changed = [
        (field.name, json.dumps(getattr(new, field.name)))
        for field in fields(State)
        if getattr(old, field.name) != getattr(new, field.name)
    ]
    connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", changed)
