"""What readers see while clusters change."""

import threading

import pytest

from worker.client import Client
from worker.requests import Mailbox


class Reader(threading.Thread):
    """Asks for all images again and again, and keeps what no reader should ever see."""

    def __init__(self, stage, images):
        super().__init__(daemon=True)
        self._client = Client(stage.valkey.url, stage.name)
        self._images = list(images)
        self._enough = threading.Event()
        self.seen = {image: {} for image in images}
        self.wrong = []
        self.reads = 0

    def run(self):
        """Read until told that it is enough."""
        try:
            with self._client:
                while not self._enough.is_set():
                    self._read()
        except Exception as error:  # noqa: BLE001  told in the test's own thread
            self.wrong.append(error)

    def _read(self):
        states = self._client.get("main", self._images)
        for image, state in zip(self._images, states, strict=True):
            if state is None:
                self.wrong.append(f"{image} has no cluster")
                continue
            last = next(reversed(self.seen[image]), (None, -1))
            if state.generation < last[1]:
                self.wrong.append(f"{image} went back from run {last[1]} to {state.generation}")
            self.seen[image][state.cluster, state.generation] = None
        image = self._images[self.reads % len(self._images)]
        self._check_members(image)
        self.reads += 1

    def _check_members(self, image):
        """The image is a member of the cluster it names, but for a move between two reads."""
        for _ in range(5):
            [state] = self._client.get("main", [image])
            if image in self._client.members("main", state.cluster):
                return
        self.wrong.append(f"{image} is no member of {state.cluster}")

    def stop(self):
        """Stop reading and wait for the end."""
        self._enough.set()
        self.join()


@pytest.fixture
def reclustered(stage):
    """Asks the running worker for a run and waits until it is published."""

    def recluster():
        mailbox = Mailbox(stage.data_dir)
        return mailbox.wait(mailbox.send("recluster", "main"), 60)

    return recluster


def test_reader_sees_whole_states(stage, tools, reclustered):
    """Through six runs that merge and split everything while images arrive, each read is sound."""
    stage.create_topic()
    first = tools.groups(14, 50)
    images = list(first.images["main"])
    stage.send(first)
    settings = {"gate_min_images": 1_000_000} | tools.NO_RUNS
    worker = stage.start(**settings, PLAIN_CLUSTERS="alternate").ready()
    stage.published(first)

    def settled():
        return {i: (s.cluster, s.generation) for i, s in stage.states(images).items()}

    def read_again():
        three_more = reader.reads + 3  # the first of them may have begun before
        tools.eventually(lambda: reader.reads >= three_more or reader.wrong, what="new reads")

    known = {image: {pair} for image, pair in settled().items()}
    reader = Reader(stage, images)
    reader.start()
    read_again()
    both = first
    for number in range(6):
        late = tools.groups(14, 5, seed=number, prefix=f"late-{number}-")
        stage.send(late)
        assert reclustered() == "published"
        both = both.with_(late)
        stage.published(both)
        read_again()
        for image, pair in settled().items():
            known[image].add(pair)
    reader.stop()
    assert reader.wrong == []
    assert reader.reads > 20
    assert {image: set(pairs) for image, pairs in reader.seen.items()} == known
    assert {run for pairs in known.values() for _, run in pairs} == set(range(7))
    assert worker.stop() == 0
    stage.assert_consistent(both)
