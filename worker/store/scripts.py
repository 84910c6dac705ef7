"""The Lua scripts, every one fenced by the lease."""

from collections.abc import Sequence
from importlib.resources import files

from pydantic_core import to_json
from redis import Redis

from worker.errors import LeaseError, LeaseLapsedError
from worker.store.base import Lease
from worker.store.connection import unavailability
from worker.store.keys import Keys
from worker.store.plan import Argument

# With this first line a script is refused as a whole when memory is full, rather than after the
# first of its writes; with the other it runs even then, since it frees memory or holds the lease.
_GROWING = "#!lua"
_HARMLESS = "#!lua flags=allow-oom"

# Each script with the files that it is made of.
_SCRIPTS = {
    "acquire": (_HARMLESS, "acquire"),
    "renew": (_HARMLESS, "fence", "renew"),
    "release": (_HARMLESS, "fence", "release"),
    "sweep": (_HARMLESS, "fence", "sweep"),
    "forget": (_HARMLESS, "fence", "forget"),
    "status": (_GROWING, "fence", "status"),
    "begin": (_GROWING, "fence", "begin"),
    "load": (_GROWING, "fence", "write", "load"),
    "flip": (_GROWING, "fence", "write", "flip"),
    "apply": (_GROWING, "fence", "write", "apply"),
}


def _source(first_line: str, *names: str) -> str:
    folder = files("worker.store")
    texts = [(folder / f"{name}.lua").read_text("utf-8") for name in names]
    return "\n".join([first_line, *texts])


class Scripts:
    """Runs scripts by their SHA, loading one when Redis does not know it. Thread-safe."""

    def __init__(self, redis: Redis, lease_seconds: float) -> None:
        self._scripts = {
            name: redis.register_script(_source(*parts)) for name, parts in _SCRIPTS.items()
        }
        self._lease_ms = round(lease_seconds * 1000)

    def acquire(self, keys: Keys, holder: str, floor: int) -> Lease:
        """Take the lease; raises as `Store.acquire`."""
        with unavailability():
            reply = self._scripts["acquire"](
                [keys.lease, keys.writer], [floor, holder, self._lease_ms]
            )
        _raise_refusal(keys.collection, reply)
        return Lease(keys.collection, holder, int(reply[1]))

    def run(
        self,
        name: str,
        keys: Keys,
        lease: Lease,
        more_keys: Sequence[str] = (),
        arguments: Sequence[Argument] = (),
    ) -> list[str]:
        """Run a script under the lease and renew it; raises as `Store.renew` if it is lost."""
        with unavailability():
            reply: list[str] = self._scripts[name](
                [keys.lease, keys.writer, *more_keys],
                [lease.epoch, lease.holder, self._lease_ms, *arguments],
            )
        _raise_refusal(lease.collection, reply)
        return reply

    def write(
        self,
        name: str,
        keys: Keys,
        lease: Lease,
        more_keys: Sequence[str],
        arguments: Sequence[Argument],
    ) -> list[str]:
        """As `run`, for a script of `write.lua`."""
        return self.run(name, keys, lease, more_keys, [to_json(list(map(str, arguments)))])


def _raise_refusal(collection: str, reply: Sequence[str]) -> None:
    match reply:
        case ["held", holder]:
            raise LeaseError(collection, holder)
        case ["lapsed", why]:
            raise LeaseLapsedError(f"collection {collection!r}: {why}")
        case ["superseded"]:
            raise LeaseLapsedError(f"collection {collection!r}: a newer rebuild was begun")
        case _:
            pass
