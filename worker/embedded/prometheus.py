"""A real Prometheus as a child process, that scrapes a worker: for tests and pictures."""

import json
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.embedded.server import EmbeddedServer, free_port
from worker.embedded.tied_process import TiedProcess
from worker.errors import DependencyError, RetryError

JOB = "shoal"

# Where `make prometheus` puts it, if the machine has none.
FETCHED = Path(__file__).parents[2] / ".tools" / "prometheus" / "usr" / "bin"

_START_SECONDS = 60.0
_POLL_SECONDS = 0.05


def find(program: str) -> Path:
    """The program `prometheus` or `promtool`. Raises `DependencyError` saying how to get it."""
    found = shutil.which(program) or shutil.which(program, path=str(FETCHED))
    if found is None:
        raise DependencyError(
            f"{program} is not installed: `make prometheus` fetches Debian's package, or put it"
            " on the PATH"
        )
    return Path(found)


@dataclass(frozen=True, slots=True)
class Series:
    """Labels, and points of a time in seconds since 1970 and a value."""

    labels: dict[str, str]
    points: Sequence[tuple[float, float]]


class EmbeddedPrometheus(EmbeddedServer):
    """Scrapes `target` (host:port) and evaluates `rules` every second, within a `with` block.

    Listens on a free port of 127.0.0.1; its log is `prometheus.log` in `directory`.
    """

    def __init__(self, directory: Path, target: str, rules: Sequence[Path] = ()) -> None:
        self._directory = directory
        self._target = target
        self._rules = rules
        self._address = f"127.0.0.1:{free_port()}"

    def start(self) -> None:
        """Start it and wait until it has scraped the target.

        Raises `DependencyError` if it is not installed, `RetryError` if it does not answer or the
        target cannot be scraped in time.
        """
        program = find("prometheus")
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "prometheus.json"
        config.write_text(json.dumps(self._config()))
        log = self._directory / "prometheus.log"
        self._process = TiedProcess(
            [
                str(program),
                f"--config.file={config}",
                f"--storage.tsdb.path={self._directory / 'data'}",
                f"--web.listen-address={self._address}",
            ],
            log,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._scrapes():
            if self._process.exit_code is not None or time.monotonic() > deadline:
                self.stop()
                raise RetryError(f"Prometheus did not start, or not scrape; see {log}")
            time.sleep(_POLL_SECONDS)

    def query(self, expression: str) -> list[Series]:
        """What the expression is now. Raises `RetryError` in Prometheus's words."""
        found = self._ask("query", query=expression)["result"]
        return [Series(one["metric"], [_point(one["value"])]) for one in found]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """What the expression was from `start` to `end`, every `step` seconds."""
        found = self._ask("query_range", query=expression, start=start, end=end, step=step)
        return [Series(s["metric"], list(map(_point, s["values"]))) for s in found["result"]]

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        alerts = self._ask("alerts")["alerts"]
        return {a["labels"]["alertname"] for a in alerts if a["state"] == "firing"}

    def _config(self) -> dict[str, Any]:
        return {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in self._rules],
            "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": [self._target]}]}],
        }

    def _scrapes(self) -> bool:
        try:
            return any(point == 1 for s in self.query("up") for _, point in s.points)
        except RetryError:
            return False

    def _ask(self, path: str, **fields: object) -> Any:
        url = f"http://{self._address}/api/v1/{path}?{urllib.parse.urlencode(fields)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise RetryError(f"Prometheus: {error.read().decode(errors='replace')}") from error
        except OSError as error:
            raise RetryError(f"Prometheus: {error}") from error


def _point(pair: tuple[float, str]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
