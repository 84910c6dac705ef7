"""The producer of compose.yaml: sends the demo's digits to the topic, slowly enough to watch.

`SHOAL_KAFKA_BOOTSTRAP` and `SHOAL_KAFKA_TOPIC` say where to.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from worker.demo import digits

RECORDS_A_SECOND = "50"

images = digits.load()
file = Path(tempfile.mkdtemp()) / "digits.npz"
np.savez(file, features=images.features, ids=np.array(images.ids))
rate = sys.argv[1] if sys.argv[1:] else RECORDS_A_SECOND
send = ["-m", "worker", "send", str(file), "--model", "pixels", "--rate", rate]
os.execv(sys.executable, [sys.executable, *send])  # noqa: S606  becomes that program
