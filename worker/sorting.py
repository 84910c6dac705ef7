"""Step 2: records are decoded, checked, and sorted by collection."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker import admission
from worker.collection import Collection
from worker.collections import Collections
from worker.dead_letters.base import DeadLetter
from worker.dead_letters.limits import DeadLetterLimits
from worker.decode import Decoder
from worker.errors import Reason, RejectedError
from worker.metrics import Metrics
from worker.migration import second_of
from worker.positions import Positions
from worker.records import Erase, RawRecord, Record


@dataclass
class Share:
    """What one collection gets of a batch, and the offsets to read next after it.

    `times`: when the records were made, by image id, where that is known.
    """

    records: list[Record] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)


class Sorter:
    """Sorts batches; opens and makes the collections that they are for."""

    def __init__(
        self,
        decoder: Decoder,
        limits: DeadLetterLimits,
        collections: Collections,
        positions: Positions,
        metrics: Metrics,
    ) -> None:
        self._decoder = decoder
        self._limits = limits
        self._collections = collections
        self._positions = positions
        self._metrics = metrics

    def sort(
        self, raws: Sequence[RawRecord], *, again: bool = False
    ) -> tuple[dict[str, Share], list[DeadLetter]]:
        """What each collection gets of a batch, without what it has, and what nobody gets.

        Raises `BadStreamError` if too much is bad; a batch that is sorted `again` counts once.
        """
        shares: dict[str, Share] = defaultdict(Share)
        letters: list[DeadLetter] = []
        outcomes: list[Reason | None] = []
        skipped = 0
        for raw in raws:
            key = self._positions.key(raw.partition, raw.offset)
            try:
                record = self._decoder.decode(raw)
                collections = self._admit(record)
            except RejectedError as error:
                letters.append(DeadLetter(raw, error.reason, error.detail))
                outcomes.append(error.reason)
                continue
            outcomes.append(None)
            for collection in collections:
                if raw.offset < collection.index.positions.get(key, 0):
                    skipped += collection.serves or len(collections) == 1
                    continue
                share = shares[collection.name]
                share.records.append(record)
                share.positions[key] = raw.offset + 1
                if raw.time is not None:
                    share.times.setdefault(record.id, raw.time)
        if not again:
            self._count(outcomes, skipped)
        return shares, letters

    def _count(self, outcomes: Sequence[Reason | None], skipped: int) -> None:
        """Of each record in turn why it was refused, if it was; and how many were there already."""
        self._metrics.skipped.inc(skipped)
        for reason in outcomes:
            if reason is None:
                self._limits.good()
            else:
                self._limits.bad(reason)

    def _admit(self, record: Record) -> list[Collection]:
        """What takes the record: its collection, or the second index where that migrates to the
        record's model; both where it erases; none where there is nothing to erase from.
        """
        if isinstance(record, Erase):
            return self._collections.indexes_of(record.collection)
        dimension = len(record.embedding)
        collection = self._collections.get(
            record.collection, dimension=dimension, model=record.model
        )
        migration = collection.migration
        if migration is not None and record.model == migration.model:
            if migration.dimension is not None:
                admission.check(record, migration.dimension, migration.model)
            name = second_of(record.collection)
            collection = self._collections.get(name, dimension=dimension, model=record.model)
        admission.check(record, collection.index.dimension, collection.index.model)
        if collection.index.model is None and record.model is not None:
            collection.index.name_model(record.model)
        return [collection]
