"""The demo with a Prometheus beside it, for pictures and tests of the dashboards."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worker.demo import digits as images
from worker.demo.launch import Host
from worker.demo.play import COLLECTION, play
from worker.embedded.prometheus import EmbeddedPrometheus
from worker.errors import RetryError
from worker.requests import Mailbox

# Every tenth image is in the labelled sample.
_SAMPLE_STEP = 10

_ANSWER_SECONDS = 60.0
# How long Prometheus goes on afterwards, so that it has seen what came last.
_AFTER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Watched:
    """What happened from `start` to `end` (seconds since 1970); `address` is the worker's."""

    prometheus: EmbeddedPrometheus
    address: str
    start: float
    end: float


@contextmanager
def watched_demo(directory: Path, rules: tuple[Path, ...] = ()) -> Iterator[Watched]:
    """Run the demo to its end, with a labelled sample; all servers run on within the block.

    Settings in the environment are the worker's too. Raises `DependencyError`, `RetryError`.
    """
    digits = images.load()
    host = Host(directory, "kafka", keep=False)
    try:
        addresses = host.wait(lambda _: None)
        prometheus = EmbeddedPrometheus(directory / "prometheus", addresses.metrics, rules)
        with prometheus:
            start = time.time()
            play(digits, addresses, host, lambda _: None)
            mailbox = Mailbox(Path(addresses.data_dir))
            sample = np.arange(0, len(digits.ids), _SAMPLE_STEP).tolist()
            words = [w for row in sample for w in (digits.ids[row], str(digits.labels[row]))]
            answer = mailbox.wait(mailbox.send("truth", COLLECTION, *words), _ANSWER_SECONDS)
            if answer is None:
                raise RetryError("the worker did not answer; see its log")
            time.sleep(_AFTER_SECONDS)
            yield Watched(prometheus, addresses.metrics, start, time.time())
    finally:
        host.stop()
