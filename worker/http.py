"""`/metrics`, `/healthz` and `/readyz` on a thread of their own."""

import errno
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from worker.errors import SettingsError

# One answer: whether all is well, and why not.
Probe = Callable[[], str | None]

_NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class HttpServer:
    """Serves metrics and probes until `close`.

    `healthy` and `ready` return None when all is well, otherwise the reason in words (then the
    answer is 503); `well` is what `/readyz` says when all is well. They are called on the server's
    threads and must not block.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        healthy: Probe,
        ready: Probe,
        well: Callable[[], str] = lambda: "ok",
    ) -> None:
        routes: dict[str, Callable[[], tuple[HTTPStatus, str, bytes]]] = {
            "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)),
            "/healthz": lambda: _probe(healthy),
            "/readyz": lambda: _probe(ready, well()),
        }

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                """Answer one of the three routes."""
                route = routes.get(self.path.split("?", 1)[0])
                status, kind, body = (
                    route()
                    if route
                    else (HTTPStatus.NOT_FOUND, "text/plain", b"/metrics /healthz /readyz\n")
                )
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
                """Say nothing: scrapes are not news."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            host_is_wrong = isinstance(error, socket.gaierror) or error.errno in _NO_SUCH_ADDRESS
            named = f"http_host: {host!r}" if host_is_wrong else f"http_port: {port}: {host}"
            raise SettingsError(f"{named}: {error.strerror}") from error
        self._server.daemon_threads = True
        self.address = f"{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _probe(probe: Probe, well: str = "ok") -> tuple[HTTPStatus, str, bytes]:
    problem = probe()
    status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
    return status, "text/plain; charset=utf-8", f"{problem or well}\n".encode()
