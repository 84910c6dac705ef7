"""What the demo does once the servers are up: send, wait, measure."""

import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worker.client import Client
from worker.demo.digits import Digits
from worker.demo.host import TOPIC, Addresses
from worker.demo.launch import Host
from worker.errors import RetryError
from worker.requests import Mailbox
from worker.store.base import EventKind, ImageState

COLLECTION = "main"

# Images a second: slow enough that reclusterings happen while the images arrive.
_RATE = 150.0

# The last images wait until so many reclusterings were published.
_HELD_BACK = 400
_RECLUSTERINGS = 2

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 150.0

Advance = Callable[[int], object]


@dataclass
class Figures:
    """What the demo measured. Seconds; `visible` from produce to visible in Redis, per image."""

    elapsed: float = 0.0
    visible: list[float] = field(default_factory=list)
    busy: float = 0.0
    states: list[ImageState | None] = field(default_factory=list)
    reclusterings: int = 0
    while_arriving: int = 0


class Watcher(threading.Thread):
    """Notes when each image first appears in the stream of events, by Redis's clock."""

    def __init__(self, client: Client, images: int) -> None:
        super().__init__(name="watcher", daemon=True)
        self._client = client
        self._images = images
        self.seen: dict[str, float] = {}
        self.generations = 0

    def run(self) -> None:
        """Follow the events until every image was seen."""
        after = "0"
        while len(self.seen) < self._images:
            for after, event in self._client.events(COLLECTION, after, block_seconds=0.5):  # noqa: B020  goes on after the last
                if event.kind is EventKind.ASSIGNED:
                    milliseconds = int(after.split("-", 1)[0])
                    self.seen.setdefault(event.data["image"], milliseconds / 1000)
                self.generations += event.kind is EventKind.GENERATION


def play(digits: Digits, addresses: Addresses, host: Host, advance: Advance) -> Figures:
    """Send the digits, wait until all are clustered, and measure. Raises `RetryError`."""
    figures = Figures()
    with Client(addresses.redis) as client, Client(addresses.redis) as watching:
        watcher = Watcher(watching, len(digits.ids))
        watcher.start()
        started = time.time()
        sent: dict[str, float] = {}
        if addresses.kafka is not None:
            for id_, when in _send(digits, addresses.kafka, watcher, host):
                sent[id_] = when
                advance(len(sent))
        _wait(lambda: len(watcher.seen) == len(digits.ids), host, advance, watcher.seen)
        advance(len(watcher.seen))
        figures.while_arriving = watcher.generations
        figures.elapsed = max(watcher.seen.values()) - started
        figures.visible = [watcher.seen[id_] - when for id_, when in sent.items()]
        Mailbox(Path(addresses.data_dir)).send("recluster", COLLECTION)
        _wait(lambda: _settled(client, digits), host)
        figures.states = client.get(COLLECTION, digits.ids)
    metrics = _metrics(addresses.metrics)
    figures.busy = sum(
        value
        for name, value in metrics.items()
        if name.startswith("shoal_step_seconds_sum") and "poll" not in name
    )
    figures.reclusterings = int(metrics['shoal_reclusterings_total{result="published"}'])
    return figures


def labels(states: Iterable[ImageState | None]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Clusters as integers, in the order of the images; -1 for an image without one."""
    numbers: dict[str, int] = {}
    return np.array(
        [-1 if s is None else numbers.setdefault(s.cluster, len(numbers)) for s in states],
        np.int64,
    )


def _send(
    digits: Digits, bootstrap: str, watcher: Watcher, host: Host
) -> Iterable[tuple[str, float]]:
    """Produce every digit; yields its id and when it was produced."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
    started = time.monotonic()
    for number, (id_, vector) in enumerate(zip(digits.ids, digits.features, strict=True)):
        if number == len(digits.ids) - _HELD_BACK:
            producer.flush()
            _wait(lambda: watcher.generations >= _RECLUSTERINGS, host)
            started = time.monotonic() - number / _RATE
        time.sleep(max(0.0, started + number / _RATE - time.monotonic()))
        now = time.time()
        value = json.dumps({"embedding": vector.tolist()}).encode()
        producer.send(TOPIC, key=id_.encode(), value=value, timestamp_ms=int(now * 1000))
        yield id_, now
    producer.flush()
    producer.close()


def _settled(client: Client, digits: Digits) -> bool:
    """No image is provisional any more and nothing is being clustered."""
    status = client.status(COLLECTION) or {}
    if status.get("reclustering") or status.get("provisional", 1):
        return False
    return all(state and not state.provisional for state in client.get(COLLECTION, digits.ids))


def _wait(
    done: Callable[[], bool],
    host: Host,
    advance: Advance | None = None,
    seen: dict[str, float] | None = None,
) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not done():
        host.check()
        if time.monotonic() > deadline:
            raise RetryError("the demo did not get on; see the worker's log")
        if advance is not None and seen is not None:
            advance(len(seen))
        time.sleep(_POLL_SECONDS)


def _metrics(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    return {
        name: float(value) for name, value in re.findall(r"^(shoal_\S+) (\S+)$", text, re.MULTILINE)
    }
