"""Carries out what people ask of a running worker, and answers."""

import json
from collections.abc import Callable, Sequence

import structlog

from index import ImageWrite, Outcome
from worker.backup.schedule import Backups
from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.erasing import erase
from worker.errors import SayingError
from worker.metrics import CORRECTION_KINDS, Metrics
from worker.migrating import Migrating
from worker.requests import Mailbox, Request, Saying
from worker.role import Role
from worker.run_metrics import observe_truth
from worker.run_queue import RunQueue
from worker.saying import logged, say
from worker.takeover import Takeover
from worker.truth import score

log = structlog.get_logger()

# Is told what a collection logged.
Heard = Callable[[Collection, Sequence[ImageWrite]], object]

# What a standby does: it has copies of its own to erase, and may have been told things before.
_OF_A_STANDBY = {"erase", "corrections"}

# What settles how coarse clusters are.
_OF_QUESTIONS = {"answer", "unanswer"}

# What an erasure did, where it did different things to two indexes: the first of these.
_WEIGHT = (Outcome.ERASED, Outcome.ABSENT)


class Answering:
    """Reads the mailbox; a request whose answer takes a run is kept in mind until that ended."""

    def __init__(
        self,
        mailbox: Mailbox,
        collections: Collections,
        queue: RunQueue,
        takeover: Takeover,
        backups: Backups,
        migrating: Migrating,
        heard: Heard,
        metrics: Metrics,
        clock: Clock,
        role: Role,
    ) -> None:
        self._role = role
        self._mailbox = mailbox
        self._collections = collections
        self._queue = queue
        self._takeover = takeover
        self._backups = backups
        self._migrating = migrating
        self._heard = heard
        self._metrics = metrics
        self._clock = clock
        self._waiting: list[Request] = []

    def answer(self) -> None:
        """Begin what is newly asked, and answer what has ended; waits for nothing."""
        known = {request.id for request in (*self._waiting, *self._backups.asked)}
        for request in self._mailbox.pending():
            if request.id not in known and self._begin(request):
                self._waiting.append(request)
        for request in list(self._waiting):
            outcome = self._queue.outcome(request.collection)
            if outcome is not None:
                self._mailbox.answer(request, outcome)
                self._waiting.remove(request)

    def waits(self) -> bool:
        """Whether an answer depends on a run, or a backup, that has not ended."""
        return bool(self._waiting or self._backups.asked)

    def say(self, collection: Collection, saying: Saying, words: Sequence[str]) -> str:
        """What a person says of the collection; the answer. No run may be being adopted."""
        try:
            answer = say(collection, saying, words, self._clock.time())
        except SayingError as error:
            return f"failed: {error}"
        if saying == "truth":
            scores = score(collection, collection.assignments.labels)
            observe_truth(self._metrics, collection.name, collection.images, scores)
        elif saying in _OF_QUESTIONS:
            log.info("said", collection=collection.name, saying=saying, answer=answer)
        elif saying in CORRECTION_KINDS:
            self._metrics.corrections.labels(saying).inc()
            log.info("said", collection=collection.name, saying=saying, **logged(saying, words))
        return answer

    def erase(self, collection: Collection, images: Sequence[str]) -> str:
        """Erase images; the answer: what it did to each, a JSON list, in their order."""
        outcomes, *second = (
            self._erase(index, images) for index in self._collections.indexes_of(collection.name)
        )
        for there in second:
            outcomes = [min(pair, key=_WEIGHT.index) for pair in zip(outcomes, there, strict=True)]
        log.info("erased", collection=collection.name, images=outcomes.count(Outcome.ERASED))
        return json.dumps(outcomes)

    def _erase(self, collection: Collection, images: Sequence[str]) -> list[Outcome]:
        writes = erase(collection, images, self._metrics)
        self._heard(collection, writes)
        return [write.outcome for write in writes]

    def _begin(self, request: Request) -> bool:
        """Do what was asked; True if only the end of a run answers it."""
        if self._role.standing_by and request.verb not in _OF_A_STANDBY:
            self._mailbox.answer(request, "failed: this worker stands by; ask the one that serves")
            return False
        if request.verb == "backup":
            self._backups.ask(request)
            return False
        collection = self._collections.find(request.collection)
        if collection is None:
            self._mailbox.answer(request, "failed: no such collection")
            return False
        if request.verb == "recluster":
            self._queue.request(collection)
            return True
        if request.verb == "publish":
            return self._publish(request, collection)
        if request.verb == "discard":
            discarded = self._takeover.discard_held(collection)
            self._mailbox.answer(request, "discarded" if discarded else "failed: no run is held")
        elif request.verb == "erase":
            self._mailbox.answer(request, self.erase(collection, request.words))
        elif request.verb == "migrate":
            self._mailbox.answer(request, self._migrating.ask(collection, request.words))
        elif collection.adoption is None:  # else it stays in the mailbox until that has ended
            self._mailbox.answer(request, self.say(collection, request.verb, request.words))
        return False

    def _publish(self, request: Request, collection: Collection) -> bool:
        if self._queue.busy(collection):
            self._mailbox.answer(request, "failed: a run goes on; ask again when it has ended")
            return False
        begun = self._takeover.publish_held(collection)
        if not begun:
            self._mailbox.answer(request, "failed: no run is held")
        return begun
