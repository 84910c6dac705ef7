"""Whether Redis answers, takes what is written, and keeps it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import redis

from worker.doctor.check import Check, clock, mend, ok, warn
from worker.errors import SettingsError, StoreUnavailableError
from worker.settings import Settings
from worker.store.connection import connect, unavailability

_OLDEST_VERSION = 7
_FULL_RATIO = 0.8


def check_store(settings: Settings) -> Iterator[Check]:
    """All that can be found out; blocks for some seconds where it does not answer."""
    try:
        with closing(connect(settings.redis_url.get_secret_value())) as client, unavailability():
            yield from _ask(client)
    except (StoreUnavailableError, SettingsError, redis.RedisError) as error:
        yield mend("redis", str(error), "SHOAL_REDIS_URL, and the user's rights (docs/redis.md)")


def _ask(client: redis.Redis) -> Iterator[Check]:
    try:
        info: Any = client.info()
        now: Any = client.time()
    except redis.exceptions.NoPermissionError as error:
        yield warn("redis", f"answers; {error}", "grant +info +time, to have it looked at")
        return
    yield version(info)
    yield role(info)
    yield memory(info)
    yield policy(info)
    yield persistence(info)
    yield clock("clock of redis", now[0] + now[1] / 1e6 - time.time())


def version(info: Mapping[str, Any]) -> Check:
    """Scripts and streams need 7."""
    name = str(info.get("server_name", "redis"))
    found = str(info.get("valkey_version") or info.get("redis_version") or "")
    if int(found.partition(".")[0] or 0) < _OLDEST_VERSION:
        return mend("redis", f"{name} {found}", f"version {_OLDEST_VERSION} or later is needed")
    return ok("redis", f"{name} {found}")


def role(info: Mapping[str, Any]) -> Check:
    """A worker writes to one server, all keys of it."""
    if info.get("cluster_enabled"):
        return mend(
            "redis role", "a node of a cluster", "use one server, or a proxy that acts as one"
        )
    if info.get("role") != "master":
        return mend(
            "redis role", f"{info.get('role')}", "a replica takes no writes: name the primary"
        )
    return ok("redis role", "takes writes")


def memory(info: Mapping[str, Any]) -> Check:
    """Whether it has room."""
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    found = f"{used / 2**20:.0f} MiB used of {f'{limit / 2**20:.0f} MiB' if limit else 'no limit'}"
    if limit and used > _FULL_RATIO * limit:
        return warn("redis memory", found, "a rebuild takes as much again for ten minutes")
    return ok("redis memory", found)


def policy(info: Mapping[str, Any]) -> Check:
    """With any policy but `noeviction` a full Redis drops keys, and nobody is told."""
    found = str(info.get("maxmemory_policy", "unknown"))
    if found != "noeviction":
        return mend("redis policy", found, "set maxmemory-policy noeviction: readers miss images")
    return ok("redis policy", found)


def persistence(info: Mapping[str, Any]) -> Check:
    """It holds nothing that a worker could not write again, but for the events."""
    if info.get("aof_enabled"):
        return ok("redis persistence", "append-only file")
    if info.get("rdb_last_save_time") and info.get("rdb_saves", 0):
        return ok("redis persistence", "snapshots")
    advice = (
        "after a restart readers find nothing until the worker has written all; events are lost"
    )
    return ok("redis persistence", "none seen", advice)
