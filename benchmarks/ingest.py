"""The worker from Kafka to Redis beside bare hnswlib, and what a reclustering costs readers.

    python benchmarks/ingest.py --images 100000 --dimension 128 [--repeats 3] [--load-only]

1. A real worker takes vectors from a real Kafka to a real Valkey, and hnswlib alone, with its own
   defaults and the same threads, adds and queries the same vectors in batches of 1,000. They take
   turns, a tenth of the vectors each, while the other stands still, so that a machine whose speed
   drifts is the same for both. A turn of the worker begins when its images are in the topic, with
   nothing under way, and ends when all are in Redis, the first when the first is. No reclustering
   runs.
2. `ratio` is the worker's rate against hnswlib's; `ratio_of_the_last_tenth` is that of the last
   turn. What the worker holds at the end is in MB. With `--repeats` all is done so often from
   the start, and medians are printed.
3. More images come at about half of full load: without a reclustering, during one, and without
   again, since the collection grows meanwhile. The time from produce to visible in Redis is
   compared. No snapshot falls into this part: reclusterings are what it is about. At the end images
   come as fast as the worker takes them: `share_of_full_load` is what the rate was of that.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import redis
from indexing import Bare, Vectors, look_alikes
from kafka import KafkaProducer
from rich.console import Console
from rich.progress import Progress

from worker.client import Client
from worker.embedded.kafka import EmbeddedKafka
from worker.embedded.tied_process import TiedProcess
from worker.embedded.valkey import EmbeddedValkey
from worker.requests import Mailbox
from worker.store.base import EventKind

TOPIC = "bench"
COLLECTION = "main"
PATIENCE_SECONDS = 1_800.0
FLOAT32 = [("content-type", b"application/x-float32")]
NEVER = "1000000000"

# The worker and hnswlib take so many turns.
TURNS = 10

RECALL = "shoal_graph_recall_ratio"

# Images that come after the load, in times of those before: enough for a reclustering that has to
# make do with the time that ingestion leaves it.
LATE = 4

# The collection about doubles meanwhile, and then the worker takes a sixth less than at the end of
# the load: the rate of part 3 is half of that.
RATE = 0.82 / 2

# Images that come at last, all at once; the first of them, while more are sent, do not count.
BURST, BURST_WARM_UP = 20_000, 5_000

# What is due is sent so often: waking up for each image would take a good part of a core.
TICK_SECONDS = 0.01

# After the load the worker tidies up (refreshes neighbours, lays out Redis anew).
SETTLE_SECONDS = 20.0

# The first images after a start also wait for what is loaded on first use; they do not count.
WARM_UP_SECONDS = 10.0

console = Console(stderr=True)


class Turn(NamedTuple):
    """How many images, and the seconds that hnswlib and the worker took for them."""

    images: int
    bare: float
    worker: float


def bare_seconds(index: Bare, vectors: Vectors, part: range, batch: int = 1_000) -> float:
    """What hnswlib alone takes to add and query a part of the vectors."""
    started = time.perf_counter()
    for first in range(part.start, part.stop, batch):
        index.take(vectors[first : min(first + batch, part.stop)], first)
    return time.perf_counter() - started


@contextmanager
def standing(process: TiedProcess) -> Iterator[None]:
    """The worker does nothing meanwhile."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def take_turns(
    vectors: Vectors, kafka: EmbeddedKafka, client: Client, process: TiedProcess, form: str
) -> list[Turn]:
    """Parts 1 and 2."""
    index, turns = Bare(*vectors.shape), []
    bounds = np.linspace(0, len(vectors), TURNS + 1).astype(int).tolist()
    with Progress(console=console) as progress:
        task = progress.add_task("the worker and hnswlib in turn", total=len(vectors))
        for start, stop in pairwise(bounds):
            with standing(process):
                bare = bare_seconds(index, vectors, range(start, stop))
                fill(kafka.bootstrap, vectors, form, range(start, stop))
            seconds, images = wait_for(stop, client, process, warm=start > 0)
            turns.append(Turn(stop - start, bare, seconds * (stop - start) / images))
            progress.update(task, completed=stop)
    return turns


def ratio(turns: Sequence[Turn]) -> float:
    return sum(turn.bare for turn in turns) / sum(turn.worker for turn in turns)


def rate(turns: Sequence[Turn], side: str) -> float:
    return sum(turn.images for turn in turns) / sum(getattr(turn, side) for turn in turns)


def encode(vector: Vectors, form: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    """One record's value and headers."""
    if form == "float32":
        return vector.tobytes(), FLOAT32
    return json.dumps({"embedding": [round(x, 6) for x in vector.tolist()]}).encode(), []


def fill(
    bootstrap: str, vectors: Vectors, form: str, part: range | None = None, name: str = "image"
) -> None:
    """Put vectors, all or a part of them, into the topic."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, batch_size=1_000_000)
    for number in part or range(len(vectors)):
        value, headers = encode(vectors[number], form)
        producer.send(TOPIC, key=f"{name}-{number:09}".encode(), value=value, headers=headers)
    producer.flush()
    producer.close()


@contextmanager
def servers(directory: Path) -> Iterator[tuple[EmbeddedKafka, EmbeddedValkey]]:
    """A real Kafka and a real Valkey."""
    kafka = EmbeddedKafka(directory / "kafka", heap_mb=1024, optimize=True)
    with EmbeddedValkey(directory / "valkey") as valkey:
        kafka.start()
        try:
            kafka.create_topic(TOPIC, 1)
            yield kafka, valkey
        finally:
            kafka.stop()


@contextmanager
def worker(
    directory: Path, bootstrap: str, url: str, **more: str
) -> Iterator[tuple[TiedProcess, Path]]:
    """A worker that reclusters only on demand; its address file tells where metrics are."""
    address = directory / "address"
    options = {
        "kafka-bootstrap": bootstrap,
        "kafka-topic": TOPIC,
        "redis-url": url,
        "data-dir": str(directory / "data"),
        "http-port": "0",
        "port-file": str(address),
        "recluster-images": NEVER,
        "recluster-first-images": NEVER,
        "recluster-first-seconds": NEVER,
        "recluster-seconds": NEVER,
        "gate-max-changed": "1",
        "gate-max-largest": "1",
        "gate-max-count-factor": NEVER,
        "events-kept": "10000000",
        # It stands still while hnswlib has its turn.
        "lease-seconds": "3600",
    } | {name.replace("_", "-"): value for name, value in more.items()}
    address.unlink(missing_ok=True)
    command = [sys.executable, "-m", "worker", "worker"]
    for name, value in options.items():
        command += [f"--{name}", value]
    process = TiedProcess(command, directory / "worker.log")
    try:
        yield process, address
    finally:
        process.stop(120.0)


def await_file(path: Path) -> None:
    """Wait until `path` is there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise SystemExit(f"{path.name} did not come")
        time.sleep(0.1)


def images_in(client: Client) -> int:
    summary = client.summary(COLLECTION)
    return 0 if summary is None else summary.images


def wait_for(images: int, client: Client, process: TiedProcess, *, warm: bool) -> tuple[float, int]:
    """Seconds until so many images are in Redis, and how many came in them.

    From now on if the worker is `warm`, else from the first that comes.
    """
    started, first = time.perf_counter(), images_in(client)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (now := images_in(client)) < images:
        if not warm and now:
            started, first, warm = time.perf_counter(), now, True
        if process.exit_code is not None or time.monotonic() > deadline:
            raise SystemExit("the worker ended or did not get on")
        time.sleep(0.02)
    return time.perf_counter() - started, images - first


class Producer(threading.Thread):
    """Sends vectors at a steady rate until told to stop; `sent` holds when each id was produced."""

    def __init__(self, bootstrap: str, vectors: Vectors, rate: float, form: str) -> None:
        super().__init__(daemon=True)
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
        self._vectors, self._rate, self._form = vectors, rate, form
        self.sent: dict[str, float] = {}
        self.stopping = threading.Event()

    def run(self) -> None:
        """Send until told to stop or out of vectors."""
        started = time.monotonic()
        number = 0
        while number < len(self._vectors) and not self.stopping.wait(TICK_SECONDS):
            due = int((time.monotonic() - started) * self._rate)
            for vector in self._vectors[number:due]:
                value, headers = encode(vector, self._form)
                id_ = f"late-{number:09}"
                self.sent[id_] = time.time()
                self._producer.send(TOPIC, key=id_.encode(), value=value, headers=headers)
                number += 1
        self._producer.flush()
        self._producer.close()


def first_seen(url: str, after: str) -> dict[str, float]:
    """When each image became visible, by the time of its first event in Redis after `after`.

    Read when all is over: a reader that keeps up would take a core from those that are measured.
    """
    seen: dict[str, float] = {}
    with Client(url) as client:
        for entry, event in client.events(COLLECTION, after, block_seconds=0.0):
            if event.kind is EventKind.ASSIGNED:
                seen.setdefault(event.data["image"], int(entry.split("-", 1)[0]) / 1000)
    return seen


def p99(producer: Producer, seen: dict[str, float], *spans: tuple[float, float]) -> float:
    """p99 in seconds from produce to visible, of images produced within the spans of time."""
    waits = [
        seen[id_] - when
        for id_, when in producer.sent.items()
        if id_ in seen and any(since <= when <= until for since, until in spans)
    ]
    return float(np.percentile(waits, 99)) if waits else float("nan")


def metric(address: str, name: str) -> float:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as reply:
        for line in reply.read().decode().splitlines():
            if line.startswith((f"{name} ", f"{name}{{")):
                return float(line.split()[-1])
    return 0.0


def disturbed(
    directory: Path,
    kafka: EmbeddedKafka,
    valkey: EmbeddedValkey,
    vectors: Vectors,
    rate: float,
    options: argparse.Namespace,
) -> dict[str, object]:
    """What readers wait for at a steady `rate`, without a reclustering and during one."""
    with worker(directory, kafka.bootstrap, valkey.url, snapshot_images=NEVER) as (_, address):
        await_file(address)
        time.sleep(SETTLE_SECONDS)
        after = f"{time.time() * 1000:.0f}-0"
        producer = Producer(kafka.bootstrap, vectors, rate, options.format)
        producer.start()
        time.sleep(WARM_UP_SECONDS)
        warm = time.time()
        time.sleep(options.quiet_seconds)
        console.print("a reclustering, while images come at half that rate")
        begun = time.time()
        answer = Mailbox(directory / "data")
        answer.wait(answer.send("recluster", COLLECTION), PATIENCE_SECONDS)
        ended = time.time()
        console.print("and without one again")
        time.sleep(options.quiet_seconds)
        over = time.time()
        producer.stopping.set()
        producer.join()
        time.sleep(5.0)
        seen = first_seen(valkey.url, after)
        console.print("and as many as it takes")
        full = full_load(kafka.bootstrap, valkey.url, vectors[len(producer.sent) :], options.format)
    quiet = p99(producer, seen, (warm, begun), (ended, over))
    during = p99(producer, seen, (begun, ended))
    first = min(producer.sent.values())
    timeline = [
        round(p99(producer, seen, (first + second, first + second + 5)), 2)
        for second in range(0, int(over - first), 5)
    ]
    return {
        "images_per_second_sent": round(rate, 1),
        "share_of_full_load": round(rate / full, 3),
        "images_at_the_end": options.images + len(producer.sent),
        "recluster_seconds": round(ended - begun, 1),
        "p99_quiet_seconds": round(quiet, 3),
        "p99_reclustering_seconds": round(during, 3),
        "p99_by_5_seconds": timeline,
        "p99_ratio": round(during / quiet, 2),
    }


def full_load(bootstrap: str, url: str, vectors: Vectors, form: str) -> float:
    """Images a second that the worker takes if all of a burst wait for it."""
    if len(vectors) < BURST:
        raise SystemExit("the images ran out before the reclustering was over")
    with Client(url) as client:
        before = images_in(client)
        fill(bootstrap, vectors[:BURST], form, name="burst")
        while (first := images_in(client)) < before + BURST_WARM_UP:
            time.sleep(0.05)
        started = time.perf_counter()
        while images_in(client) < before + BURST:
            time.sleep(0.05)
        return (before + BURST - first) / (time.perf_counter() - started)


def held(pid: int, data: Path, redis_url: str) -> dict[str, float]:
    """MB that the worker holds for itself, of files that it maps, on disk, and in Redis."""
    status = Path(f"/proc/{pid}/status").read_text()
    memory = {
        line.split(":")[0]: float(line.split()[1]) for line in status.splitlines() if "kB" in line
    }
    disk = sum(path.stat().st_blocks * 512 for path in data.rglob("*") if path.is_file())
    with redis.Redis.from_url(redis_url) as store:
        in_redis = store.info("memory")["used_memory"]
    return {
        "mb_of_memory": memory["RssAnon"] / 1e3,
        "mb_of_mapped_files": memory["RssFile"] / 1e3,
        "mb_on_disk": disk / 1e6,
        "mb_in_redis": in_redis / 1e6,
    }


def loaded(
    options: argparse.Namespace, vectors: Vectors, late: Vectors | None
) -> tuple[dict[str, float], dict[str, object]]:
    """The figures of parts 1 and 2, and of part 3 where there are `late` vectors."""
    waits: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with servers(directory) as (kafka, valkey), Client(valkey.url) as client:
            with worker(directory, kafka.bootstrap, valkey.url) as (process, file):
                await_file(file)
                turns = take_turns(vectors, kafka, client, process, options.format)
                room = held(process.pid, directory / "data", valkey.url)
                recall = metric(file.read_text(), RECALL)
            late_turns = turns[-1:]
            console.print(f"ratios by turn {[round(ratio([turn]), 2) for turn in turns]}")
            if late is not None:
                full = RATE * rate(late_turns, "worker")
                waits = disturbed(directory, kafka, valkey, late, full, options)
    return {
        "bare_per_second": rate(turns, "bare"),
        "worker_per_second": rate(turns, "worker"),
        "ratio": ratio(turns),
        "bare_per_second_of_the_last_tenth": rate(late_turns, "bare"),
        "worker_per_second_of_the_last_tenth": rate(late_turns, "worker"),
        "ratio_of_the_last_tenth": ratio(late_turns),
        "recall_as_the_worker_says": recall,
        **room,
    }, waits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--format", choices=["json", "float32"], default="float32")
    parser.add_argument("--quiet-seconds", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=1, help="of all but part 3")
    parser.add_argument("--load-only", action="store_true", help="leave part 3 out")
    options = parser.parse_args()
    late = 0 if options.load_only else LATE * options.images
    vectors, _ = look_alikes(options.images + late, options.dimension, 0)
    vectors, late_vectors = vectors[: options.images], vectors[options.images :]
    loads, waits = [], {}
    for repeat in range(options.repeats):
        disturb = bool(late) and repeat == options.repeats - 1
        load, waits = loaded(options, vectors, late_vectors if disturb else None)
        loads.append(load)
    middle = {name: float(np.median([load[name] for load in loads])) for name in loads[0]}
    figures = {
        "images": options.images,
        "dimension": options.dimension,
        "format": options.format,
        "cores": os.cpu_count(),
        "repeats": options.repeats,
        "ratios": [round(load["ratio"], 3) for load in loads],
    }
    figures |= {name: round(value, 3) for name, value in middle.items()} | waits
    for key, value in figures.items():
        console.print(f"{key:28} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
