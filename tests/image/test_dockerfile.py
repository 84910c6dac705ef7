import json
import os
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()


@pytest.fixture
def hadolint():
    """The linter. Where it is missing: skip, but fail under CI."""
    beside = Path(sys.executable).with_name("hadolint")
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if program is None:
        problem = "no hadolint: `make setup` installs it"
        if os.environ.get("CI"):
            pytest.fail(f"CI must have it: {problem}")
        pytest.skip(problem)
    return program


def test_lint(hadolint):
    """Hadolint has nothing to say."""
    done = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


def test_instructions():
    """A base that is an argument, no native code, a number for the user, a health check."""
    lines = TEXT.splitlines()
    assert [line for line in lines if line.startswith("FROM ")] == [
        "FROM ${PYTHON_IMAGE} AS build",
        "FROM ${PYTHON_IMAGE}",
    ]
    assert any(line.startswith("ARG PYTHON_IMAGE=python:") for line in lines)
    assert "HNSWLIB_NO_NATIVE=1" in TEXT
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    assert "HEALTHCHECK " in TEXT
    assert "/healthz" in TEXT


def test_everything_that_it_copies_is_sent():
    """The ignore file lets through what is copied, and nothing more."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    copies = [line.split()[1:-1] for line in TEXT.splitlines() if line.startswith("COPY ")]
    copied = {name for names in copies for name in names if not name.startswith(("--", "/"))}
    assert "*" in ignored
    assert copied == sent
    assert all((ROOT / name).exists() for name in sent)


def test_every_package_is_copied():
    """And the files that the project's description names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    named = [name.rstrip("*") for name in packages]
    named += [project["project"]["readme"], *project["project"]["license-files"]]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in named} <= set(ignored)


def test_extras_exist():
    """The extras that the image installs by default."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [line] = [line for line in TEXT.splitlines() if line.startswith("ARG EXTRAS=")]
    extras = set(line.partition("=")[2].strip('"').split())
    assert "embedded" in extras
    assert extras <= set(project["optional-dependencies"])


def test_the_health_check_asks_the_worker():
    """Its command says yes to 200 and no to 503 and to nobody."""

    class Handler(BaseHTTPRequestHandler):
        status = 200

        def do_GET(self):
            self.send_response(self.status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    line = next(line for line in TEXT.splitlines() if line.strip().startswith("CMD ["))
    command = [sys.executable, *json.loads(line.strip().removeprefix("CMD "))[1:]]
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        environment = {"SHOAL_HTTP_PORT": str(server.server_address[1])}
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert subprocess.run(command, env=environment, check=False).returncode == 0
            Handler.status = 503
            assert subprocess.run(command, env=environment, check=False).returncode == 1
        finally:
            server.shutdown()
            thread.join()
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode
