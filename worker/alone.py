"""What the commands do where no worker runs: one thing to one collection, reading nothing."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from worker.collection import Collection
from worker.errors import SettingsError
from worker.parts import Parts
from worker.recluster.result import RunResult
from worker.requests import Saying

T = TypeVar("T")

# Rows of a finished run that are published at a time.
_ADOPTED_ROWS = 1_000

_POLL_SECONDS = 0.02


class Alone:
    """Does one thing, once: each method closes everything.

    Each raises `SettingsError` if there is no such collection.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        # A directory that follows another worker says so itself, and is refused.
        parts.role.standing_by = False

    def recluster(self, name: str) -> str:
        """Recluster one collection and publish that; how it ended."""
        return self._and_close(lambda: self._recluster(self._existing(name)))

    def say(self, name: str, saying: Saying, words: Sequence[str]) -> str:
        """What a person says of one collection, published; the answer."""
        return self._and_close(lambda: self._say(self._existing(name), saying, words))

    def erase(self, name: str, images: Sequence[str]) -> str:
        """Erase images of one collection, which is published; the answer."""
        return self._and_close(lambda: self._parts.answering.erase(self._existing(name), images))

    def migrate(self, name: str, words: Sequence[str]) -> str:
        """What a person asks of a collection's migration; the answer."""
        return self._and_close(lambda: self._parts.migrating.ask(self._existing(name), words))

    def preview(self, name: str) -> RunResult:
        """What reclustering one collection would do; changes nothing.

        Raises `RetryError` if the run fails.
        """
        try:
            return self._parts.reclustering.preview(self._existing(name))
        finally:
            self._parts.abandon()

    def _and_close(self, action: Callable[[], T]) -> T:
        try:
            done = action()
        except BaseException:
            self._parts.abandon()
            raise
        self._parts.close()
        return done

    def _existing(self, name: str) -> Collection:
        collections = self._parts.collections
        collection = collections.find(name)
        if collection is None:
            raise SettingsError(
                f"collection: {name!r}: not in {self._parts.settings.data_dir}; there:"
                f" {', '.join(collections.stored()) or 'none'}"
            )
        return collection

    def _recluster(self, collection: Collection) -> str:
        parts = self._parts
        parts.queue.request(collection)
        while (outcome := parts.queue.outcome(collection.name)) is None:
            parts.leases.keep()
            parts.reclustering.tick()
            parts.takeover.go_on(parts.collections, _ADOPTED_ROWS)
            parts.publishing.publish()
            parts.clock.sleep(_POLL_SECONDS)
        return outcome

    def _say(self, collection: Collection, saying: Saying, words: Sequence[str]) -> str:
        while collection.adoption is not None:
            self._parts.takeover.go_on([collection], _ADOPTED_ROWS)
        return self._parts.answering.say(collection, saying, words)
