"""How Redis is connected to, and which of its errors mean that it is not there."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio as asyncio_redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import SettingsError, StoreUnavailableError
from worker.masked import masked

CONNECT_TIMEOUT_SECONDS = 2.0
READ_TIMEOUT_SECONDS = 5.0

_UNAVAILABLE = (
    redis.ConnectionError,  # also LOADING and a refused password
    redis.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
    OSError,
)
# Refusals that redis-py has no class for, alone or of a command in a pipeline.
_UNAVAILABLE_WORDS = re.compile(r"(?:^|caused error: )(?:MISCONF|BUSY|NOREPLICAS)\b")
# What the ACL forbids, said of a command, of one within a script, or of a key; and what comes of
# a MULTI that was forbidden.
_FORBIDDEN_WORDS = re.compile(
    r"no permissions|ACL failure in script|user executing the script can't|EXEC without MULTI",
    re.IGNORECASE,
)


_OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "protocol": 2,
    "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "socket_timeout": READ_TIMEOUT_SECONDS,
}


def connect(url: str, *, decode: bool = True) -> redis.Redis:
    """A thread-safe client; connects when first used.

    A broken connection is replaced once, since a pooled one may have died of old age.
    Keys and values are text, or bytes without `decode`. Raises `SettingsError` for a URL that is
    none.
    """
    once = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    with _checking(url):
        options = _OPTIONS | {"decode_responses": decode}
        client = redis.Redis.from_url(url, retry=once, **options)
        _try_options(client.connection_pool)
    return client


def connect_async(url: str) -> asyncio_redis.Redis:
    """What `connect` gives, for asyncio."""
    once = AsyncRetry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    with _checking(url):
        client = asyncio_redis.Redis.from_url(url, retry=once, **_OPTIONS)
        _try_options(client.connection_pool)
    return client


@contextmanager
def unavailability() -> Iterator[None]:
    """Turn what says that Redis cannot serve now into `StoreUnavailableError`.

    Raises `SettingsError` where Redis's ACL forbids the user of the URL something.
    """
    try:
        yield
    except _UNAVAILABLE as error:
        raise StoreUnavailableError(f"Redis is unavailable: {error}") from error
    except redis.ResponseError as error:
        if _UNAVAILABLE_WORDS.search(str(error)):
            raise StoreUnavailableError(f"Redis is unavailable: {error}") from error
        if _FORBIDDEN_WORDS.search(str(error)):
            raise SettingsError(
                f"redis_url: its user lacks a right, see SECURITY.md: {error}"
            ) from error
        raise


def _try_options(pool: Any) -> None:
    """Make what would connect, since options of the URL are looked at only there."""
    pool.connection_class(**pool.connection_kwargs)


@contextmanager
def _checking(url: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:
        # The error may quote a part of the password.
        raise SettingsError(
            f"redis_url: {masked(url)!r}: must be redis://[[user]:password@]host[:port][/number],"
            " or the like with rediss:// or unix://"
        ) from error
