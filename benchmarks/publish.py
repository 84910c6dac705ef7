"""How fast images are published to Redis and read from it, beside bare pipelined HSET.

`python benchmarks/publish.py [--images 100000]` starts its own Valkey. The last line is one JSON
object; rates are images per second, latencies milliseconds, over the loopback.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import redis

from worker.client import Client
from worker.embedded.valkey import EmbeddedValkey
from worker.store.base import MAX_CHANGES, Change, ClusterInfo, ImageState, Update
from worker.store.codec import encode_state
from worker.store.keys import buckets_for
from worker.store.redis_store import RedisStore

IMAGES_PER_CLUSTER = 20
LOOK_UPS = 2_000
MOVED_RATIO = 0.3

Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    count: int = parser.parse_args().images
    images = [(f"photos/{i:08}.jpg", _state(i, 0)) for i in range(count)]
    figures: Figures = {"images": count}
    with tempfile.TemporaryDirectory() as folder, EmbeddedValkey(Path(folder)) as server:
        figures |= _bare(server.url, images)
        figures |= _publish(server.url, images)
        figures |= _read(server.url, [image for image, _ in images])
    figures["rebuild_ratio"] = figures["rebuild_rate"] / figures["bare_rate"]
    figures["apply_ratio"] = figures["apply_rate"] / figures["bare_rate"]
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def _bare(url: str, images: list[tuple[str, ImageState]]) -> Figures:
    """The peer: HSET alone into the same buckets, a thousand to the pipeline."""
    buckets = buckets_for(len(images))
    with _emptied(url) as raw:
        before = _memory(raw)
        with _timed() as seconds:
            for start in range(0, len(images), MAX_CHANGES):
                pipeline = raw.pipeline(transaction=False)
                for image, state in images[start : start + MAX_CHANGES]:
                    key = f"shoal:b:{crc32(image.encode()) % buckets}"
                    pipeline.hset(key, image, encode_state(state))
                pipeline.execute()
        return {
            "bare_rate": len(images) / seconds(),
            "bare_bytes_per_image": (_memory(raw) - before) / len(images),
        }


def _publish(url: str, images: list[tuple[str, ImageState]]) -> Figures:
    """A rebuild, then updates that move, renew and add images."""
    with _emptied(url) as raw:
        before = _memory(raw)
        store = RedisStore(url)
        lease = store.acquire("main", "benchmark", 0)
        infos = [ClusterInfo(c, 0.0) for c in sorted({state.cluster for _, state in images})]
        with _timed() as rebuild:
            store.rebuild(lease, images, infos, {}, Update(0))
        used = _memory(raw) - before
        changes = _changes(images)
        with _timed() as apply:
            for number, start in enumerate(range(0, len(changes), MAX_CHANGES), start=1):
                store.apply(lease, Update(number, changes[start : start + MAX_CHANGES]))
        store.close()
    return {
        "rebuild_rate": len(images) / rebuild(),
        "apply_rate": len(changes) / apply(),
        "bytes_per_image": used / len(images),
    }


def _changes(images: list[tuple[str, ImageState]]) -> list[Change]:
    """Of every ten images three move to another cluster and one is joined by a new image."""
    rng = random.Random(0)
    changes = []
    for i, (image, old) in enumerate(images):
        draw = rng.random()
        if draw < MOVED_RATIO:
            changes.append(Change(image, old.cluster, _state(rng.randrange(len(images)), 1)))
        elif draw < MOVED_RATIO + 0.1:
            changes.append(Change(f"photos/new-{i:08}.jpg", None, _state(i, 1)))
    return changes


def _read(url: str, ids: list[str]) -> Figures:
    """`get` of one and of a hundred images at a time."""
    rng = random.Random(1)
    figures: Figures = {}
    with Client(url) as client:
        for size in (1, 100):
            times = []
            for _ in range(LOOK_UPS):
                wanted = rng.sample(ids, min(size, len(ids)))
                with _timed() as seconds:
                    states = client.get("main", wanted)
                times.append(1_000 * seconds())
                assert None not in states
            times.sort()
            figures[f"get_{size}_p50_ms"] = times[LOOK_UPS // 2]
            figures[f"get_{size}_p99_ms"] = times[LOOK_UPS * 99 // 100]
    return figures


def _state(i: int, generation: int) -> ImageState:
    return ImageState(f"c{i // IMAGES_PER_CLUSTER:015}", 0.95, bool(i % 2), generation)


@contextmanager
def _emptied(url: str) -> Iterator[Any]:
    with redis.Redis.from_url(url) as raw:
        raw.execute_command("FLUSHALL", "SYNC")
        yield raw


@contextmanager
def _timed() -> Iterator[Callable[[], float]]:
    """Yields what tells, after the block, how many seconds it took."""
    start = time.perf_counter()
    end = 0.0
    yield lambda: end - start
    end = time.perf_counter()


def _memory(raw: Any) -> int:
    used: int = raw.info("memory")["used_memory"]
    return used


if __name__ == "__main__":
    main()
