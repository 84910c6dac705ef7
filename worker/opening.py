"""The source is opened where the worker was, and waited for as long as it cannot be reached."""

from collections.abc import Callable

import structlog

from worker.clock import Clock
from worker.errors import DataLossError, SourceUnavailableError
from worker.positions import Positions
from worker.sources.base import Source

log = structlog.get_logger()

_RETRY_SECONDS = 2.0


def open_source(
    source: Source,
    positions: Positions,
    *,
    accept_loss: bool,
    commit: bool,
    clock: Clock,
    meanwhile: Callable[[], bool],
) -> bool:
    """Open `source` at `positions`; False if `meanwhile`, called between attempts, gives it up.

    `commit` says whether the source's own tools are to see where the worker is.
    Raises `DataLossError` where the records at the positions are not those that were read.
    """
    while meanwhile():
        try:
            source.open(positions.next)
            _check_origin(source, positions, accept_loss=accept_loss)
            _note_origin(source, positions)
        except SourceUnavailableError as error:
            log.warning("the source cannot be reached", error=str(error))
            clock.sleep(_RETRY_SECONDS)
        else:
            # A process that was killed may have taken more than it committed.
            if commit:
                source.commit(positions.next)
            return True
    return False


def _check_origin(source: Source, positions: Positions, *, accept_loss: bool) -> None:
    """A topic that was made anew has other records at the positions that were read."""
    found = source.origin
    anew = [p for p in source.lag() if positions.origin(p) not in {"", found}]
    if not anew:
        return
    if not accept_loss:
        raise DataLossError(
            f"the topic was made anew: {', '.join(anew)} had another id than {found} when last"
            " read; what came after that is lost. To read the new one from its start, accept"
            " loss."
        )
    log.error("the topic was made anew: reading it from its start", partitions=anew)
    source.close()
    positions.begin_anew(anew)
    source.open(positions.next)


def _note_origin(source: Source, positions: Positions) -> None:
    """Positions of an earlier version, which kept no origin, are taken to be in the topic that is
    there at first sight.
    """
    known = positions.next
    bare = {p: known[p] for p in source.lag() if p in known and not positions.origin(p)}
    if bare and source.origin:
        positions.advance(bare, source.origin)
