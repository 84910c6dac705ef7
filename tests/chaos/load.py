"""Load on a topic while everything around it is killed."""

import random
import threading
import time

import numpy as np

DIMENSION = 16
# Records sent together, and the pause after them: some hundred a second.
TOGETHER = 5
PAUSE_SECONDS = 0.03
# Of one round, at least and at most.
LEAST, MOST = 40, 120
# A broker that was killed is back before that.
SEND_SECONDS = 90


class Load(threading.Thread):
    """Sends images of two collections, some with a new vector, some erased, and bad records.

    From `start` until `end`, which waits until all that was sent is in the topic. `sent` counts.
    """

    def __init__(self, stage, stream, seed, round_):
        super().__init__(daemon=True)
        self._stage, self._stream, self._round = stage, stream, round_
        self._rng, self._random = random.Random(seed), np.random.default_rng(seed)
        self._ending = threading.Event()
        self._failure = None

    def run(self):
        """Send until told to end."""
        try:
            number = 0
            while number < LEAST or (number < MOST and not self._ending.is_set()):
                first = len(self._stream.records)
                for _ in range(TOGETHER):
                    self._add(number)
                    number += 1
                records = self._stream.records[first:]
                self._stage.send(type(self._stream)(records), SEND_SECONDS)
                time.sleep(PAUSE_SECONDS)
        except Exception as error:  # noqa: BLE001  told by `end`
            self._failure = error

    def end(self):
        """Wait until the last record is in the topic."""
        self._ending.set()
        self.join()
        if self._failure is not None:
            raise self._failure

    def _add(self, number):
        vector = self._random.standard_normal(DIMENSION)
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        collection = "user:2" if number % 5 == 0 else "main"
        known = sorted(self._stream.images.get(collection, {}))
        chance = self._rng.random()
        if known and chance < 0.1:
            self._stream.erase(self._rng.choice(known), collection)
        elif known and chance < 0.2:
            self._stream.add(self._rng.choice(known), vector, collection)
        else:
            self._stream.add(f"i{self._round}-{number}", vector, collection)
        if number == 0 and self._round % 7 == 0:
            self._stream.refuse(b"bad", b"no json")
