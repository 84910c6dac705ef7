"""The keys and arguments of the scripts, laid out as write.lua reads them. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from worker.store.base import Change, ClusterInfo, Event
from worker.store.codec import encode_info, encode_state, event_fields
from worker.store.keys import Space

T = TypeVar("T")
Argument = str | int | float | bytes


class _Numbering(dict[str, int]):
    """Numbers what it is asked for from 1, in order of appearance."""

    def __missing__(self, key: str) -> int:
        self[key] = len(self) + 1
        return self[key]

    def update_all(self, keys: Iterable[str]) -> None:
        for key in keys:
            self[key]  # asking is what numbers it


def difference(
    space: Space,
    changes: Sequence[Change] = (),
    clusters: Sequence[ClusterInfo] = (),
    retired: Mapping[str, str | None] | None = None,
    also: Iterable[str] = (),
) -> tuple[list[str], list[Argument]]:
    """KEYS from the third on, and the arguments of `difference()` and `write()`.

    The last change of an image counts. The script removes the image from the cluster that it
    finds it published in; `Change.old` and `also` say which clusters that can be, since a script
    must be given the keys of all.
    """
    retired = retired or {}
    buckets, touched = _Numbering(), _Numbering()
    touched.update_all(change.old for change in changes if change.old is not None)
    moves: list[Argument] = []
    latest = {change.id: change.new for change in changes}
    for image, state in latest.items():
        moves += (buckets[space.bucket_of(image)], image)
        moves += (0, "") if state is None else (touched[state.cluster], encode_state(state))
    infos = [text for info in clusters for text in (info.id, encode_info(info))]
    successors = [text for old, new in retired.items() for text in (old, new or "")]
    touched.update_all((*(info.id for info in clusters), *retired, *also))
    fixed = [space.keys.meta, space.keys.spaces, space.keys.events]
    fixed += [space.sizes, space.info, space.retired]
    keys = [*fixed, *buckets, *map(space.members, touched)]
    sections: list[Argument] = [len(buckets), len(touched), *touched, len(latest), *moves]
    return keys, [*sections, len(clusters), *infos, len(retired), *successors]


def description(fields: Mapping[str, Argument | None]) -> list[Argument]:
    """The arguments of `describe()`; a field that is None stays as it is."""
    pairs = [part for name, value in fields.items() if value is not None for part in (name, value)]
    return [len(pairs), *pairs]


def announcement(events: Sequence[Event], sequence: int, kept: int) -> list[Argument]:
    """The arguments of `announce()`."""
    arguments: list[Argument] = [kept, len(events)]
    for event in events:
        pairs = [part for pair in event_fields(event, sequence).items() for part in pair]
        arguments += (len(pairs), *pairs)
    return arguments


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`items` in lists of at most `size`; takes no more from `items` than it yields."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
