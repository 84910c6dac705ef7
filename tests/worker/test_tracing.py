"""Traces of what a worker does: a span for each batch and run, with the steps below."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from worker.errors import SettingsError
from worker.otel import OtelTracing, make_provider
from worker.tracing import NoTracing, make_tracing

TRACE, OTHER = "0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
INGEST = ["1 poll", "2 decode", "3 log", "4 index", "4 index", "5 assign", "6 publish", "7 commit"]
RUN = [
    "R1 view",
    "R2 cluster",
    "R3 result",
    "R4 match",
    "R5 correct",
    "R6 re-assign",
    "R7 gate",
    "R8 publish",
]


@pytest.fixture
def exported(bench):
    """What the bench's workers trace."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    bench.tracing = OtelTracing(provider)
    return exporter


def below(exported, name):
    """The spans of that name, and the names of those below each."""
    spans = exported.get_finished_spans()
    return [
        (
            span,
            sorted(s.name for s in spans if s.parent and s.parent.span_id == span.context.span_id),
        )
        for span in spans
        if span.name == name
    ]


def traceparent(trace, flags="01"):
    return (("traceparent", f"00-{trace}-{SPAN}-{flags}".encode()),)


def test_batches(bench, exported):
    """A batch is one span, with its steps below and a link to each trace that records came with."""
    message = b'{"embedding": [1.0, 0.0]}'
    for place, trace in enumerate([TRACE, OTHER, TRACE]):
        bench.topic.append(f"a{place}".encode(), message, traceparent(trace))
    bench.topic.append(b"no trace", message)
    bench.topic.append(b"no sense", message, (("traceparent", b"\xff-nonsense"),))
    bench.run()
    [(batch, steps)] = below(exported, "batch")
    assert steps == INGEST
    assert [f"{link.context.trace_id:032x}" for link in batch.links] == [TRACE, OTHER]
    assert {f"{link.context.span_id:016x}" for link in batch.links} == {SPAN}
    assert batch.parent is None
    assert batch.attributes["messaging.batch.message_count"] == 5


def test_letters_carry_the_trace_on(bench, exported):
    """A record that is refused keeps its trace context on its way to the dead letters."""
    bench.topic.append(b"bad", b"no json", traceparent(TRACE))
    bench.run()
    [letter] = bench.dead_letters.letters
    assert letter.raw.headers == traceparent(TRACE)
    assert len(below(exported, "batch")) == 1


def test_runs(bench, axis, exported):
    """A run is one span, with R1 to R8 below; one that is held ends with the gate."""
    bench.send("a", axis(0))
    bench.send("b", axis(1))
    bench.run()
    [(run, steps)] = below(exported, "run")
    assert steps == RUN
    assert run.attributes["shoal.collection"] == "main"
    assert run.attributes["shoal.run"] == 1
    assert run.attributes["shoal.outcome"] == "published"
    bench.cluster_all_in_one()
    bench.send("c", axis(2))
    bench.run(gate_min_images=1)
    held = below(exported, "run")[-1]
    assert held[0].attributes["shoal.outcome"] == "held"
    assert held[1] == ["R1 view", "R2 cluster", "R3 result", "R4 match", "R5 correct", "R7 gate"]


def test_a_step_that_fails(bench, axis, exported):
    """An error is noted at its step, and is the worker's as before."""
    bench.send("a", axis(0))
    worker = bench.worker()

    def fail(*_, **__):
        raise RuntimeError("a defect")

    worker._ingest._sorter.sort = fail
    with pytest.raises(RuntimeError, match="a defect"):
        worker.run()
    [span] = [span for span in exported.get_finished_spans() if span.name == "2 decode"]
    assert span.status.description == "RuntimeError: a defect"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
    ],
)
def test_off(environment):
    """Nothing is traced unless the environment says where to."""
    assert isinstance(make_tracing(environment), NoTracing)


@pytest.mark.parametrize(
    "environment",
    [{"OTEL_TRACES_EXPORTER": "console"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}],
)
def test_on(environment):
    """The exporter is the one that the standard variables name."""
    tracing = make_tracing(environment)
    assert isinstance(tracing, OtelTracing)
    tracing.close()


def test_unknown_exporter():
    """An exporter that is not there is named, with those that are."""
    with pytest.raises(
        SettingsError, match=r"OTEL_TRACES_EXPORTER: 'zipkin' is not.*otlp_proto_http"
    ):
        make_provider({"OTEL_TRACES_EXPORTER": "zipkin"})


def test_service():
    """The service is shoal, unless the standard variables name it."""
    provider = make_provider({"OTEL_TRACES_EXPORTER": "console"})
    assert provider.resource.attributes["service.name"] == "shoal"
    provider.shutdown()


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:1"])
def test_without_the_extra(endpoint):
    """Without a place for traces nothing of OpenTelemetry is imported; without the extra nothing is
    traced, and a worker says so once.
    """
    code = (
        "import sys\n"
        "if sys.argv[1]: sys.modules['opentelemetry'] = None\n"
        "import worker.commands.worker, worker.compose, worker.tracing as t\n"
        "tracing = t.make_tracing({'OTEL_EXPORTER_OTLP_ENDPOINT': sys.argv[1]})\n"
        "assert isinstance(tracing, t.NoTracing)\n"
        "found = [n for n in sys.modules if n.startswith('opentelemetry') and sys.modules[n]]\n"
        "assert not found, found\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, endpoint], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ("shoal[otel]" in done.stdout + done.stderr) == bool(endpoint)
