"""Small collections, and a model to run them on."""

import numpy as np
import pytest
import torch

from models import load_model


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """The collections here are too small for more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model():
    """The shipped weights."""
    return load_model(device="cpu")


@pytest.fixture(scope="session")
def groups():
    """A function: `classes` well separated groups of `size` unit rows in d dimensions."""

    def make(classes, size, d=32, spread=0.25, seed=0):
        rng = np.random.default_rng(seed)
        centre = rng.standard_normal((classes, d))
        labels = rng.permutation(np.repeat(np.arange(classes), size))
        x = centre[labels] + spread * rng.standard_normal((len(labels), d))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), labels

    return make


@pytest.fixture(scope="session")
def digits():
    """The 1,797 scanned digits of scikit-learn: features, labels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.data, bunch.target


@pytest.fixture(scope="session")
def same_partition():
    """A function: do two label arrays describe one partition?"""

    def same(a, b):
        pairs = set(zip(np.asarray(a).tolist(), np.asarray(b).tolist(), strict=True))
        return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})

    return same
