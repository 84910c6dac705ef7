"""Traces of batches and runs, a span for each numbered step; nothing where nobody asks for them.

`NoTracing` costs a call that does nothing; `worker.otel` is imported only where the environment
says where traces go.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import structlog

from worker.records import RawRecord

log = structlog.get_logger()

# Any of these switches traces on; OTEL_TRACES_EXPORTER=none or OTEL_SDK_DISABLED=true off again.
_SWITCHES = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)


class Steps(Protocol):
    """The span of one batch or run, below which its steps are. Nothing here blocks or raises."""

    def step(self, name: str) -> AbstractContextManager[object]:
        """A span for what goes on within; an error is noted and passed on."""

    def past(self, name: str, start: float, end: float) -> None:
        """A span for what has been; times in seconds since 1970."""

    def end(self, **attributes: object) -> None:
        """It is over; what is to be known of it."""


class Tracing(Protocol):
    """Where spans go."""

    def batch(self, raws: Sequence[RawRecord], start: float) -> Steps:
        """A batch that was polled from `start` on, linked to the traces its records came with."""

    def run(self, collection: str, number: int, trigger: str) -> Steps:
        """A run of a collection."""

    def close(self) -> None:
        """Send what waits; blocks for as long as the exporter's time-out."""


class _NoSteps:
    def step(self, name: str) -> AbstractContextManager[object]:
        del name
        return nullcontext()

    def past(self, name: str, start: float, end: float) -> None:
        """Nothing."""

    def end(self, **attributes: object) -> None:
        """Nothing."""


NO_STEPS: Steps = _NoSteps()


class NoTracing:
    """Nobody asks for traces."""

    def batch(self, raws: Sequence[RawRecord], start: float) -> Steps:
        """See `Tracing.batch`."""
        del raws, start
        return NO_STEPS

    def run(self, collection: str, number: int, trigger: str) -> Steps:
        """See `Tracing.run`."""
        del collection, number, trigger
        return NO_STEPS

    def close(self) -> None:
        """See `Tracing.close`."""


def make_tracing(environment: Mapping[str, str] = os.environ) -> Tracing:
    """Traces as the standard `OTEL_` variables say; none, with a warning, without `shoal[otel]`.

    Raises `SettingsError` for an exporter that is not there.
    """
    if not _wanted(environment):
        return NoTracing()
    try:
        from worker.otel import OtelTracing, make_provider
    except ImportError as error:
        log.warning("no traces: pip install 'shoal[otel]'", error=str(error))
        return NoTracing()
    return OtelTracing(make_provider(environment))


def _wanted(environment: Mapping[str, str]) -> bool:
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    off = environment.get("OTEL_TRACES_EXPORTER") == "none"
    return not (disabled or off) and any(environment.get(name) for name in _SWITCHES)
