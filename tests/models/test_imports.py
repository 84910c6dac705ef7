"""What a process has to import before it clusters."""

import subprocess
import sys

CLUSTERS = """
import sys
import numpy as np
from models import cluster
cluster(np.random.default_rng(0).normal(size=(300, 8)), device="cpu")
print("torch_geometric" in sys.modules)
"""


def test_the_shipped_model_needs_no_message_passing_on_a_cpu():
    """A run on a CPU imports torch, but not PyTorch Geometric, which takes as long again."""
    done = subprocess.run(
        [sys.executable, "-c", CLUSTERS], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False"]
