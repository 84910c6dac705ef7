"""Make the worker's tables of a collection agree with each other, where records were lost."""

import json
import sqlite3
import time
from pathlib import Path

from worker.clock import SystemClock
from worker.ids import ClusterIds
from worker.recluster import generations
from worker.schema import SCHEMA


def reconcile(db: sqlite3.Connection, directory: Path) -> None:
    """Within a transaction: rows whose cluster is gone get another on start, and everything is
    published anew.
    """
    for statement in SCHEMA.split(";"):
        db.execute(statement)
    _fill_numbers(db)
    db.execute(
        "DELETE FROM assignment WHERE row NOT IN (SELECT row FROM row WHERE count > 0)"
        " OR cluster NOT IN (SELECT number FROM cluster)"
    )
    db.execute(
        "UPDATE cluster SET successor = NULL WHERE successor NOT IN (SELECT number FROM cluster)"
    )
    db.execute("UPDATE outbox SET old = NULL WHERE old NOT IN (SELECT number FROM cluster)")
    db.execute(
        "DELETE FROM correction WHERE cluster IS NOT NULL"
        " AND cluster NOT IN (SELECT number FROM cluster)"
    )
    _revive(db)
    newest = next(iter(generations.numbers(directory)), 0)
    _at_least(db, "runs", newest)
    _at_least(db, "generation", newest)
    publish_anew(db)


def give_up_adoption(db: sqlite3.Connection) -> None:
    """Within a transaction: a run that was being published is not, any more; the next one is."""
    db.execute("INSERT OR REPLACE INTO state VALUES ('adopting', '0')")
    db.execute("INSERT OR REPLACE INTO state VALUES ('clustered_at', '0.0')")
    _revive(db)
    publish_anew(db)


def publish_anew(db: sqlite3.Connection) -> None:
    """Within a transaction: Redis has another past than this collection, and is written anew."""
    _at_least(db, "sequence", _value(db, "sequence") + 1)


def _fill_numbers(db: sqlite3.Connection) -> None:
    """Cluster numbers have no gaps: what is lost is a retired cluster that nobody was told of."""
    known = {number for (number,) in db.execute("SELECT number FROM cluster")}
    last = db.execute("SELECT id FROM cluster ORDER BY number DESC LIMIT 1").fetchone()
    ids = ClusterIds(SystemClock(), after=last[0] if last else None)
    db.executemany(
        "INSERT INTO cluster (number, id, created, retired) VALUES (?, ?, ?, 1)",
        [
            (number, ids.next(), time.time())
            for number in range(max(known, default=-1) + 1)
            if number not in known
        ],
    )


def _revive(db: sqlite3.Connection) -> None:
    """A cluster that rows are in is not retired."""
    used = "(SELECT cluster FROM assignment)"
    db.execute(
        f"INSERT OR IGNORE INTO cluster_outbox SELECT number FROM cluster WHERE retired"  # noqa: S608
        f" AND number IN {used}"
    )
    db.execute(
        f"UPDATE cluster SET retired = 0, successor = NULL WHERE retired AND number IN {used}"  # noqa: S608
    )


def _at_least(db: sqlite3.Connection, key: str, value: int) -> None:
    kept = max(value, _value(db, key))
    db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, json.dumps(kept)))


def _value(db: sqlite3.Connection, key: str) -> int:
    found = db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    return int(json.loads(found[0])) if found else 0
