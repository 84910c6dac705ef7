"""Traces from Kafka's records to a collector, by OTLP."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Takes what exporters send by HTTP, and keeps the spans."""

    def __init__(self):
        self.spans = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                request = ExportTraceServiceRequest()
                request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
                for resource in request.resource_spans:
                    spans.extend(span for scope in resource.scope_spans for span in scope.spans)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.close()


def test_from_record_to_collector(stage, tools, collector):
    """A record's trace is linked from the batch that took it, whose steps went out with it; a run
    is a trace of its own.
    """
    stage.create_topic()
    stream = tools.groups(4, 15)
    key, value, _ = stream.records[0]
    stream.records[0] = (key, value, [("traceparent", f"00-{TRACE}-{SPAN}-01".encode())])
    stage.send(stream)
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    assert stage.run(**variables).exit_code == 0
    linked = [
        span for span in collector.spans if TRACE in {link.trace_id.hex() for link in span.links}
    ]
    assert [span.name for span in linked] == ["batch"]
    below = {s.name for s in collector.spans if s.parent_span_id == linked[0].span_id}
    assert below == {"1 poll", "2 decode", "3 log", "4 index", "5 assign", "6 publish", "7 commit"}
    assert {"run", "R1 view", "R8 publish"} <= {span.name for span in collector.spans}


def test_collector_that_is_away(stage, tools):
    """Where traces cannot be sent the worker goes on, and says so."""
    stage.create_topic()
    stream = tools.groups(4, 15)
    stage.send(stream)
    worker = stage.run(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert worker.exit_code == 0
    assert "Failed to export spans" in worker.text()
    stage.assert_consistent(stream)
