"""What every Kafka client of Shoal has in common: options, error translation, quiet logging."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import structlog
from kafka import errors
from kafka.cluster import collect_hosts
from kafka.net.inet import KafkaNetSocket

from worker.errors import DependencyError, SettingsError, ShoalError, SourceUnavailableError

# Options of kafka-python that say how to reach and convince the brokers.
SECURITY_OPTIONS = frozenset(
    {
        "security_protocol",
        "sasl_mechanism",
        "sasl_plain_username",
        "sasl_plain_password",
        "sasl_kerberos_name",
        "sasl_kerberos_service_name",
        "sasl_kerberos_domain_name",
        "sasl_oauth_token_provider",
        "ssl_context",
        "ssl_check_hostname",
        "ssl_cafile",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_password",
        "ssl_crlfile",
        "ssl_ciphers",
    }
)

# A broker that comes back is found within this time; kafka-python waits up to 30 s.
_RECONNECT_BACKOFF_MAX_MS = 2_000
_REPEAT_SECONDS = 60.0
_DIRECT = "shoal-direct"

_log = structlog.get_logger(__name__)


def client_options(
    bootstrap: str, security: Mapping[str, Any], timeout_seconds: float
) -> dict[str, Any]:
    """Options for any client of kafka-python; also calms its logging.

    Raises `SettingsError` for brokers that are none, and for an option that has nothing to do with
    security.
    """
    unknown = sorted(set(security) - SECURITY_OPTIONS)
    if unknown:
        allowed = ", ".join(sorted(SECURITY_OPTIONS))
        raise SettingsError(f"security: {', '.join(unknown)} is unknown; allowed: {allowed}")
    calm_logging()
    return {
        "bootstrap_servers": _servers(bootstrap),
        "client_id": "shoal",
        "bootstrap_timeout_ms": round(timeout_seconds * 1000),
        "reconnect_backoff_max_ms": _RECONNECT_BACKOFF_MAX_MS,
        "proxy_url": f"{_DIRECT}://",
        **security,
    }


def _servers(bootstrap: str) -> list[str]:
    servers = [server.strip() for server in bootstrap.split(",") if server.strip()]
    try:
        ports = [port for _, port, _ in collect_hosts(servers)]
    except ValueError:
        ports = []
    if not ports or not all(0 < port < 2**16 for port in ports):
        raise SettingsError(
            f"kafka_bootstrap: {bootstrap!r}: must be brokers, host:port, by commas"
        )
    return servers


def translate(error: Exception, doing: str) -> ShoalError:
    """The exception of ours that says what to do about one of kafka-python's."""
    text = f"{doing}: {type(error).__name__}: {error}"
    match error:
        case errors.UnsupportedCodecError():
            return DependencyError(f"{text}. Install the codecs: pip install 'shoal[codecs]'")
        case errors.AuthorizationError():
            return SettingsError(f"{text}. The user lacks a right, see SECURITY.md")
        case (
            errors.SaslAuthenticationFailedError()
            | errors.UnsupportedSaslMechanismError()
            | errors.KafkaConfigurationError()
        ):
            return SettingsError(text)
        case _:
            return SourceUnavailableError(text)


def calm_logging() -> None:
    """Pass kafka-python's errors on as warnings, each kind at most once a minute."""
    logger = logging.getLogger("kafka")
    if not any(isinstance(handler, _Calm) for handler in logger.handlers):
        logger.handlers = [_Calm()]
        logger.propagate = False
        logger.setLevel(logging.ERROR)


class _Calm(logging.Handler):
    """Lets one line of each kind through a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[object, ...], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a line on, unless one of its kind (place and types of error) was just now."""
        now, args = time.monotonic(), record.args if isinstance(record.args, tuple) else ()
        kind = (record.name, record.lineno, *map(type, args))
        if now - self._last.get(kind, -_REPEAT_SECONDS) >= _REPEAT_SECONDS:
            self._last[kind] = now
            _log.warning("kafka client", message=record.getMessage(), logger_name=record.name)


class _ClosingSocket(KafkaNetSocket):  # type: ignore[misc]  # kafka-python is untyped
    """Closes the socket of a refused connection.

    kafka-python 3.0 leaves it open: a file more every two seconds that the brokers are away. It
    chooses how to connect by the scheme of `proxy_url`, and here there is no proxy.
    """

    SCHEMES = (_DIRECT,)

    async def sock_connect(
        self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None
    ) -> Any:
        """Connect, or close `sock` and raise."""
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise
