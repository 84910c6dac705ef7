"""A real Kafka broker as a child process, for the demo and the tests."""

import base64
import contextlib
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from worker.embedded.kafka_jars import ensure_jars, missing
from worker.embedded.server import free_port, free_ports
from worker.embedded.tied_process import TiedProcess
from worker.errors import DependencyError, ShoalError, SourceUnavailableError

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

_HOST = "127.0.0.1"
_START_TIMEOUT_SECONDS = 60.0
_TOOL_TIMEOUT_SECONDS = 120.0
_PORT_ATTEMPTS = 3
_QUICK = ["-XX:TieredStopAtLevel=1"]  # the client compiler alone


class ToolError(ShoalError):
    """One of Apache's tools failed."""


class EmbeddedKafka:
    """One broker in KRaft mode whose data and log file lie in `directory`.

    It listens on 127.0.0.1 only, on `port` or on a free one (0), which it keeps over restarts.
    `settings` are lines of `server.properties` that override ours. With `optimize` Java compiles
    for speed; without, a broker is up with three fifths of the processor time, and needs more of
    it for each record. It dies with this process.
    """

    def __init__(
        self,
        directory: Path,
        port: int = 0,
        heap_mb: int = 512,
        settings: Mapping[str, str] | None = None,
        *,
        optimize: bool = False,
    ) -> None:
        self._directory = Path(directory)
        self._port = port
        self._options = [f"-Xmx{heap_mb}m", *([] if optimize else _QUICK)]
        self._settings = dict(settings or {})
        self._process: TiedProcess | None = None
        self._jars = Path()

    @staticmethod
    def available() -> str | None:
        """None if a broker can be started here, otherwise the reason in words."""
        return missing()

    @property
    def bootstrap(self) -> str:
        """The address for clients, `127.0.0.1:PORT`."""
        return f"{_HOST}:{self._port}"

    @property
    def log_file(self) -> Path:
        """Where the broker's warnings and errors are."""
        return self._directory / "kafka.log"

    def start(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Start the broker unless it runs; blocks until it answers. `progress` hears of a download.

        Raises `DependencyError` where Java or the jars are missing and `SourceUnavailableError`
        if the broker does not come up.
        """
        if self._process is not None and self._process.exit_code is None:
            return
        if (reason := self.available()) is not None:
            raise DependencyError(f"Kafka cannot be started: {reason}")
        self._jars = ensure_jars(progress)
        self._directory.mkdir(parents=True, exist_ok=True)
        attempts = 1 if self._port else _PORT_ATTEMPTS
        for attempt in range(1, attempts + 1):
            try:
                self._start_on(self._port or free_port())
            except SourceUnavailableError:  # another process may have taken the free port
                if attempt == attempts:
                    raise
            else:
                return

    def stop(self) -> None:
        """Shut the broker down in order; the data stays."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """Kill the broker; the data stays as it is."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Stop the broker if it runs, and start it on the same port with the same data."""
        self.stop()
        self.start()

    def create_topic(
        self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic and wait until its partitions have a leader."""
        with _admin(self.bootstrap, 30) as admin:
            options = {
                "num_partitions": partitions,
                "replication_factor": 1,
                "configs": dict(config or {}),
            }
            admin.create_topics({name: options}, wait_for_metadata=True)

    def run_tool(
        self,
        main_class: str,
        *args: str,
        input: bytes = b"",  # noqa: A002  the name that subprocess.run has for it
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one of Apache's own tools to its end, e.g. `org.apache.kafka.tools.ConsoleProducer`.

        Raises `ToolError` with its output if it fails.
        """
        command = self._java(["-Xmx64m", *_QUICK], main_class, *args)
        done = subprocess.run(
            command, input=input, capture_output=True, check=False, timeout=_TOOL_TIMEOUT_SECONDS
        )
        if done.returncode != 0:
            output = (done.stderr + done.stdout).decode(errors="replace").strip()
            raise ToolError(f"{main_class} ended with status {done.returncode}: {output}")
        return done

    def _start_on(self, port: int) -> None:
        properties = self._directory / "server.properties"
        properties.write_text(self._properties(port))
        data = self._directory / "data"
        if not (data / "meta.properties").is_file():
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
            self.run_tool(
                "kafka.tools.StorageTool",
                "format",
                f"--cluster-id={cluster}",
                "-c",
                str(properties),
            )
        process = TiedProcess(
            self._java(self._options, "kafka.Kafka", str(properties)), self.log_file
        )
        try:
            self._wait_until_it_answers(process, port)
        except BaseException:
            process.kill()
            raise
        self._process, self._port = process, port

    def _wait_until_it_answers(self, process: TiedProcess, port: int) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not _answers(port):
            if process.exit_code is not None:
                raise SourceUnavailableError(
                    f"Kafka ended with status {process.exit_code}; see {self.log_file}"
                )
            if time.monotonic() > deadline:
                raise SourceUnavailableError(
                    f"Kafka does not answer on port {port} after {_START_TIMEOUT_SECONDS:.0f} s; "
                    f"see {self.log_file}"
                )
            time.sleep(0.05)

    def _java(self, options: list[str], *args: str) -> list[str]:
        log4j = str(resources.files("worker.embedded").joinpath("kafka-log4j2.properties"))
        return [
            "java",
            *options,
            "-XX:+UseSerialGC",
            f"-Dlog4j2.configurationFile={log4j}",
            "-cp",
            f"{self._jars}/*",
            *args,
        ]

    def _properties(self, port: int) -> str:
        controller = next(other for other in free_ports(2) if other != port)
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{_HOST}:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{_HOST}:{port},CONTROLLER://{_HOST}:{controller}",
            "log.dirs": str(self._directory / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            # A broker that was killed may come back once its old session has timed out.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            **self._settings,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def _answers(port: int) -> bool:
    """Whether a broker that is in its cluster answers on `port`."""
    with contextlib.suppress(OSError), socket.create_connection((_HOST, port), timeout=1.0):
        return _in_cluster(port)
    return False


def _in_cluster(port: int) -> bool:
    from kafka.errors import KafkaError

    try:
        with _admin(f"{_HOST}:{port}", 2) as admin:
            return bool(admin.describe_cluster()["brokers"])
    except KafkaError:
        return False


def _admin(bootstrap: str, timeout_seconds: float) -> "contextlib.closing[KafkaAdminClient]":
    from kafka.admin import KafkaAdminClient

    from worker.sources.kafka_client import client_options

    return contextlib.closing(KafkaAdminClient(**client_options(bootstrap, {}, timeout_seconds)))
