"""An encoder that changed is an alert; one that did not is none. On scanned digits."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_digits

from worker.embedded.prometheus import EmbeddedPrometheus

ALERT = "ShoalEncoderShift"
FIRST_SHIFTED = 1_198

# Evaluated last in its group: when it fires, all the others have been.
CANARY = """
      - alert: Canary
        expr: shoal_drift_encoder_shift_ratio >= 0
"""


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def ordinary(vectors, random):
    del random
    return vectors


def noise(vectors, random):
    """Noise of a third of a vector's length."""
    return vectors + 0.33 * random.normal(size=vectors.shape) / np.sqrt(vectors.shape[1])


def rotation(vectors, random):
    """A tenth of the dimensions turned among themselves."""
    width = vectors.shape[1]
    some = random.choice(width, width // 10, replace=False)
    turn, _ = np.linalg.qr(random.normal(size=(len(some), len(some))))
    vectors = vectors.copy()
    vectors[:, some] = vectors[:, some] @ turn
    return vectors


@pytest.mark.parametrize(
    ("shift", "shuffled", "fires"),
    [
        (ordinary, True, False),
        (ordinary, False, False),  # one writer after the other
        (noise, True, True),
        (rotation, True, True),
    ],
)
def test_replay(valkey, promtool, tools, chart, worker_process, tmp_path, shift, shuffled, fires):
    """The last third of the images comes from another encoder, or from the same."""
    del promtool
    random = np.random.default_rng(3)
    digits = load_digits().data
    vectors = unit(random.permutation(digits) if shuffled else digits)
    vectors[FIRST_SHIFTED:] = unit(shift(vectors[FIRST_SHIFTED:], random))
    ids = np.array([f"digit-{number}" for number in range(len(vectors))])
    np.savez(tmp_path / "digits.npz", features=vectors, ids=ids)
    rules = tmp_path / "rules.yaml"
    text = (chart / "rules" / "shoal.yaml").read_text()
    rules.write_text(re.sub(r"for: \w+", "for: 0s", text) + CANARY)
    settings = {
        "source": "files",
        "files": tmp_path / "digits.npz",
        "data_dir": tmp_path / "data",
        "redis_url": valkey.url,
        "redis_prefix": tmp_path.name,
        "http_port": 0,
        "threads": 1,
    }
    worker = worker_process(tmp_path / "workers", settings | tools.NO_RUNS)
    try:
        worker.ready()
        tools.eventually(lambda: worker.metric("shoal_rows") == len(vectors))
        with EmbeddedPrometheus(tmp_path / "prometheus", worker.address, [rules]) as prometheus:
            tools.eventually(lambda: "Canary" in prometheus.firing())
            firing = prometheus.firing()
    finally:
        worker.kill()
    assert (ALERT in firing) == fires
