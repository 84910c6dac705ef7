"""The servers of the demo in a process of their own: Kafka, Valkey and the worker.

`python -m worker.demo.host DIRECTORY kafka|files [--parent PID]` writes what it is doing to
DIRECTORY/progress and, when all serve, their addresses to DIRECTORY/addresses.json. It ends all of
them on SIGTERM, or when the process PARENT is gone.
"""

import argparse
import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from worker.embedded.kafka import EmbeddedKafka
from worker.embedded.tied_process import TiedProcess
from worker.embedded.valkey import EmbeddedValkey

TOPIC = "digits"
ADDRESSES = "addresses.json"
PROGRESS = "progress"
WORKER_LOG = "worker.log"

_START_SECONDS = 120.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Addresses:
    """Where the servers listen; `kafka` is None when files are read."""

    redis: str
    metrics: str
    kafka: str | None
    host_pid: int
    worker_pid: int
    data_dir: str


def main() -> None:
    """Start everything, wait, and end everything."""
    options = _arguments()
    stopping: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        stopping.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with ExitStack() as stack:
        addresses, worker = _start(options.directory, options.source, stack)
        _write(options.directory / ADDRESSES, json.dumps(asdict(addresses)))
        while not stopping and worker.exit_code is None and _lives(options.parent):
            time.sleep(_POLL_SECONDS)


def _start(directory: Path, source: str, stack: ExitStack) -> tuple[Addresses, TiedProcess]:
    def say(text: str) -> None:
        _write(directory / PROGRESS, text)

    say("starting Valkey")
    valkey = EmbeddedValkey(directory / "valkey")
    valkey.start()
    stack.callback(valkey.stop)
    kafka = None
    if source == "kafka":
        say("starting Kafka")
        kafka = EmbeddedKafka(directory / "kafka")
        kafka.start(say)
        stack.callback(kafka.stop)
        kafka.create_topic(TOPIC, 2)
    say("starting the worker")
    worker = TiedProcess(_worker(directory, valkey, kafka), directory / WORKER_LOG)
    stack.callback(worker.stop, 60.0)
    address = _metrics_address(directory / "metrics-address", worker)
    bootstrap = kafka.bootstrap if kafka else None
    data = str(directory / "data")
    return Addresses(valkey.url, address, bootstrap, os.getpid(), worker.pid, data), worker


def _worker(directory: Path, valkey: EmbeddedValkey, kafka: EmbeddedKafka | None) -> list[str]:
    command = [sys.executable, "-m", "worker", "worker", "--redis-url", valkey.url]
    command += ["--data-dir", str(directory / "data"), "--http-port", "0"]
    command += ["--granularity", "kind"]  # a digit is a category of images
    command += ["--port-file", str(directory / "metrics-address"), "--poll-seconds", "0.2"]
    if kafka is None:
        return [*command, "--source", "files", "--files", str(directory / "digits.npz")]
    return [*command, "--kafka-bootstrap", kafka.bootstrap, "--kafka-topic", TOPIC]


def _metrics_address(path: Path, worker: TiedProcess) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while not path.exists() or not path.read_text():
        if worker.exit_code is not None or time.monotonic() > deadline:
            raise SystemExit(f"the worker did not start; see {path.parent / WORKER_LOG}")
        time.sleep(_POLL_SECONDS)
    return path.read_text()


def _lives(parent: int | None) -> bool:
    return parent is None or os.getppid() == parent


def _write(path: Path, text: str) -> None:
    aside = path.with_suffix(".tmp")
    aside.write_text(text)
    aside.replace(path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("source", choices=["kafka", "files"])
    parser.add_argument("--parent", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    main()
