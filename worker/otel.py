"""Traces by OpenTelemetry (`shoal[otel]`), configured by its standard environment variables."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker import __version__
from worker.errors import SettingsError
from worker.records import RawRecord

_NANOSECONDS = 1_000_000_000
_EXPORTERS = "opentelemetry_traces_exporter"
_CONTEXT_HEADERS = ("traceparent", "tracestate")
_W3C = TraceContextTextMapPropagator()


def make_provider(environment: Mapping[str, str]) -> TracerProvider:
    """Sends spans in batches to `OTEL_TRACES_EXPORTER` (otlp), as `OTEL_EXPORTER_` variables say.

    The service is `shoal` unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` name it. Raises
    `SettingsError` for an exporter that is not installed.
    """
    named = "service.name" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    named |= bool(environment.get("OTEL_SERVICE_NAME"))
    resource = Resource.create({} if named else {"service.name": "shoal"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    name = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    if name == "otlp":
        protocol = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        name = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    found = list(entry_points(group=_EXPORTERS, name=name))
    if not found:
        there = ", ".join(sorted({point.name for point in entry_points(group=_EXPORTERS)}))
        raise SettingsError(
            f"OTEL_TRACES_EXPORTER: {name!r} is not installed; there: none, {there}"
        )
    provider.add_span_processor(BatchSpanProcessor(found[0].load()()))
    return provider


class OtelTracing:
    """`Tracing` over a provider of OpenTelemetry's SDK."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("shoal", __version__)

    def batch(self, raws: Sequence[RawRecord], start: float) -> "OtelSteps":
        """See `Tracing.batch`. `OTEL_SPAN_LINK_COUNT_LIMIT` bounds the links (128)."""
        span = self._tracer.start_span(
            "batch",
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            kind=SpanKind.CONSUMER,
            links=[Link(context) for context in _contexts(raws)],
            attributes={
                "messaging.operation.name": "process",
                "messaging.batch.message_count": len(raws),
                "shoal.partitions": sorted({raw.partition for raw in raws}),
            },
            start_time=_nanoseconds(start),
        )
        return OtelSteps(self._tracer, span)

    def run(self, collection: str, number: int, trigger: str) -> "OtelSteps":
        """See `Tracing.run`."""
        span = self._tracer.start_span(
            "run",
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            attributes={
                "shoal.collection": collection,
                "shoal.run": number,
                "shoal.trigger": trigger,
            },
        )
        return OtelSteps(self._tracer, span)

    def close(self) -> None:
        """See `Tracing.close`."""
        self._provider.shutdown()


class OtelSteps:
    """`Steps` below one span."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._context = trace.set_span_in_context(span)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """See `Steps.step`."""
        with self._tracer.start_as_current_span(name, self._context):
            yield

    def past(self, name: str, start: float, end: float) -> None:
        """See `Steps.past`."""
        span = self._tracer.start_span(name, self._context, start_time=_nanoseconds(start))
        span.end(_nanoseconds(end))

    def end(self, **attributes: object) -> None:
        """See `Steps.end`."""
        for name, value in attributes.items():
            self._span.set_attribute(f"shoal.{name}", str(value))
        self._span.end()


def _contexts(raws: Sequence[RawRecord]) -> list[SpanContext]:
    """The trace contexts that records came with (W3C), each once, in the order of the records."""
    found: dict[tuple[int, int], SpanContext] = {}
    for raw in raws:
        headers = {name: value for name, value in raw.headers if name in _CONTEXT_HEADERS}
        if "traceparent" in headers:
            carrier = {name: value.decode("ascii", "replace") for name, value in headers.items()}
            context = trace.get_current_span(_W3C.extract(carrier)).get_span_context()
            if context.is_valid:
                found.setdefault((context.trace_id, context.span_id), context)
    return list(found.values())


def _nanoseconds(seconds: float) -> int:
    return round(seconds * _NANOSECONDS)
