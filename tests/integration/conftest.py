"""Real servers for the session, and for each test a topic, a prefix and a data directory."""

import json
import uuid
from pathlib import Path
from types import MappingProxyType

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from loading import load

from worker.client import Client
from worker.embedded.kafka import EmbeddedKafka
from worker.embedded.valkey import EmbeddedValkey
from worker.requests import Mailbox
from worker.sources.kafka_client import client_options

process = load(Path(__file__).with_name("worker_process.py"))
consistency = load(Path(__file__).with_name("consistency.py"))
streams = load(Path(__file__).with_name("stream.py"))


class Stage:
    """A topic, a prefix and a data directory, and the workers that a test runs on them."""

    def __init__(self, kafka, valkey, folder):
        self.kafka, self.valkey = kafka, valkey
        self.folder = folder
        self.data_dir = folder / "data"
        self.name = f"t{uuid.uuid4().hex[:10]}"
        self.topic = f"images-{self.name}"
        self.workers = []
        self.client = Client(valkey.url, self.name)
        self._producer = None
        self.settings = {
            "kafka_bootstrap": kafka.bootstrap,
            "kafka_topic": self.topic,
            "kafka_group": self.name,
            "redis_url": valkey.url,
            "redis_prefix": self.name,
            "data_dir": self.data_dir,
            "http_port": 0,
            "threads": 1,
            "poll_seconds": 0.1,
            "lease_seconds": 5,
        }

    def create_topic(self, partitions=1, **config):
        """Make the topic."""
        config = {name.replace("_", "."): str(value) for name, value in config.items()}
        self.kafka.create_topic(self.topic, partitions, config)

    def send(self, stream, seconds=10):
        """Send a stream's records, each key to its own partition, and wait until they are there."""
        if self._producer is None:
            self._producer = KafkaProducer(
                **client_options(self.kafka.bootstrap, {}, 10),
                max_request_size=2**25,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        sent = [self._producer.send(self.topic, v, k, list(h)) for k, v, h in stream.records]
        self._producer.flush()
        for future in sent:
            future.get(seconds)

    def delete_records(self, before, partition=0):
        """Delete the records of a partition before an offset."""
        with self.admin() as admin:
            admin.delete_records({TopicPartition(self.topic, partition): before})

    def admin(self):
        """An admin client for a with block."""
        from contextlib import closing

        return closing(KafkaAdminClient(**client_options(self.kafka.bootstrap, {}, 10)))

    def start(self, program=process.PLAIN, **settings):
        """Start a worker; `ready()` waits until it serves."""
        worker = process.WorkerProcess(self.folder / "workers", self.settings | settings, program)
        self.workers.append(worker)
        return worker

    def run(self, program=process.PLAIN, **settings):
        """Run a worker until it has read and clustered everything; the ended worker."""
        worker = self.start(program, once="true", **settings)
        worker.wait()
        return worker

    def states(self, images, collection="main"):
        """The published state of each image; None for one that is not published."""
        ids = list(images)
        return dict(zip(ids, self.client.get(collection, ids), strict=True))

    def published(self, stream, seconds=30.0):
        """Wait until exactly the images of `stream` are in Redis, for each collection in turn."""
        for name, images in stream.images.items():
            process.eventually(
                lambda name=name, images=images: self._are_published(name, images),
                seconds,
                f"every image of {name} in Redis",
            )

    def _are_published(self, name, images):
        summary = self.client.summary(name)
        there = summary is not None and summary.images == len(images)
        return there and all(self.client.get(name, list(images)))

    def assert_consistent(self, stream):
        """Catalog, graph and Redis hold the images of `stream`, each once, and nothing else."""
        consistency.assert_consistent(self.data_dir, self.valkey.url, self.name, stream.images)

    def assert_grouped(self, stream):
        """A full run has put each image where it belongs."""
        for name, images in stream.images.items():
            states = self.states(images, name)
            assert not [image for image, state in states.items() if state.provisional]
            assert consistency.partition(states) == consistency.by_group(images)

    def shoal(self, *arguments, text="", **settings):
        """Run another command of `shoal` against the same servers; what it printed as JSON."""
        done = process.run_shoal(self.folder, self.settings | settings, arguments, text)
        return done, [json.loads(line) for line in done.stdout.splitlines() if line[:1] in "{["]

    def many(self, lines):
        """Run many command lines in one process with the real model: [status, output, errors]."""
        done = process.run_python(self.folder, {}, "many_commands.py", json.dumps(lines))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def close(self):
        """End everything that still runs."""
        for worker in self.workers:
            worker.kill()
        self.client.close()
        if self._producer is not None:
            self._producer.close()


def letters(stage, count):
    """The records of the dead-letter topic, by reason."""
    consumer = KafkaConsumer(
        **client_options(stage.kafka.bootstrap, {}, 10),
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=2**25,
        metrics_enabled=False,
    )
    partition = TopicPartition(f"{stage.topic}.dead", 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    found = []
    while len(found) < count:
        for records in consumer.poll(1_000).values():
            found += records
    consumer.close()
    return [(dict(record.headers), record) for record in found]


@pytest.fixture(scope="session")
def valkey(tmp_path_factory):
    """One real Valkey for the whole folder."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def make_stage(request, tmp_path):
    """Makes the test's stage, on the session's servers or on others."""
    made = []

    def make(**servers):
        for name in {"kafka", "valkey"} - set(servers):
            servers[name] = request.getfixturevalue(name)
        made.append(Stage(folder=tmp_path, **servers))
        request.node.stages = made
        return made[-1]

    yield make
    for stage in made:
        stage.close()


@pytest.fixture(scope="module")
def module_stage(kafka, valkey, tmp_path_factory):
    """A stage that the tests of a file share."""
    stage = Stage(kafka, valkey, tmp_path_factory.mktemp("stage"))
    yield stage
    stage.close()


@pytest.fixture
def stage(make_stage):
    """A stage on the session's servers."""
    return make_stage()


@pytest.fixture
def own_valkey(tmp_path):
    """A Valkey that the test may kill."""
    with EmbeddedValkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def own_kafka(tmp_path):
    """A broker that the test may kill."""
    broker = EmbeddedKafka(tmp_path / "kafka")
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def tools():
    """The helpers of this folder."""
    return Tools


class Tools:
    """What tests use beside a stage."""

    eventually = staticmethod(process.eventually)
    letters = staticmethod(letters)
    Stream = streams.Stream
    Mailbox = Mailbox
    groups = staticmethod(streams.groups)
    eventful = staticmethod(streams.eventful)
    near = staticmethod(streams.near)
    partition = staticmethod(consistency.partition)
    by_group = staticmethod(consistency.by_group)
    Published = consistency.Published
    check_published = staticmethod(consistency._check_published)
    REAL = process.REAL
    # Nothing is reclustered unless someone asks for it.
    NO_RUNS = MappingProxyType({"recluster_first_images": 10_000, "recluster_first_seconds": 600})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Show what the workers logged beside a failure."""
    del call
    report = yield
    if report.failed:
        for worker in (worker for stage in getattr(item, "stages", ()) for worker in stage.workers):
            report.sections.append((f"worker {worker.pid}: {worker.exit_code}", worker.text()))
    return report
