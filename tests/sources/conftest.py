import json
import socket

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from worker.sources.file_source import FileSource
from worker.sources.kafka_client import client_options
from worker.sources.kafka_settings import KafkaSettings
from worker.sources.kafka_source import KafkaSource
from worker.testing.source import MemorySource, MemoryTopic


def value(number):
    return json.dumps({"id": str(number), "embedding": [1, number]}).encode()


class MemoryLog:
    def __init__(self):
        self.topic = MemoryTopic()
        self.partition = "images/0"
        self.append = self.topic.append
        self.truncate = self.topic.truncate
        self.make_anew = self.topic.make_anew
        self.add_partition = self.topic.add_partition

    def empty(self):
        """Leave it without records."""

    def fill(self, numbers):
        """Add a JSON record for each number."""
        for number in numbers:
            self.append(str(number).encode(), value(number))

    def source(self, **options):
        """Make a source that reads it."""
        return MemorySource(self.topic, **options)


class FileLog:
    def __init__(self, folder):
        self.path = folder / "images.jsonl"
        self.partition = str(self.path)
        self.sources = []

    def empty(self):
        """Leave it without records."""
        self.path.touch()

    def fill(self, numbers):
        """Add a JSON record for each number."""
        self.path.write_bytes(b"".join(value(number) + b"\n" for number in numbers))

    def source(self, *, until_end=False, accept_loss=False):
        """Make a source that reads it."""
        del until_end  # files always end
        self.sources.append(FileSource([self.path], accept_loss=accept_loss))
        return self.sources[-1]


class KafkaLog:
    def __init__(self, kafka, topic):
        self.kafka, self.topic = kafka, topic
        self.partition = f"{topic}/0"
        self.sources = []
        self.admin = KafkaAdminClient(**client_options(kafka.bootstrap, {}, 10))
        kafka.create_topic(topic)

    def empty(self):
        """Leave it without records."""

    def append(self, key, value, headers=(), partition=0):
        """Add one record."""
        self.send([(key, value, headers, partition)])

    def fill(self, numbers):
        """Add a JSON record for each number."""
        self.send([(str(number).encode(), value(number), (), 0) for number in numbers])

    def send(self, records):
        """Send records and wait until they are there."""
        producer = KafkaProducer(**client_options(self.kafka.bootstrap, {}, 10))
        for key, body, headers, partition in records:
            producer.send(self.topic, body, key, list(headers), partition)
        producer.flush()
        producer.close()

    def truncate(self, before):
        """Delete the records before an offset."""
        self.admin.delete_records({TopicPartition(self.topic, 0): before})

    def make_anew(self):
        """Delete the topic and create it again."""
        self.admin.delete_topics([self.topic])
        self.kafka.create_topic(self.topic)

    def add_partition(self):
        """Add a second partition."""
        self.admin.create_partitions({self.topic: 2})

    def source(self, **options):
        """Make a source that reads it."""
        settings = KafkaSettings(
            self.kafka.bootstrap, self.topic, group=self.topic, refresh_seconds=0.2, **options
        )
        self.sources.append(KafkaSource(settings))
        return self.sources[-1]


@pytest.fixture
def memory_log():
    return MemoryLog()


@pytest.fixture
def file_log(tmp_path):
    log = FileLog(tmp_path)
    yield log
    for source in log.sources:
        source.close()


@pytest.fixture
def kafka_log(kafka, topic):
    log = KafkaLog(kafka, topic)
    yield log
    for source in log.sources:
        source.close()
    log.admin.close()


@pytest.fixture
def unused_port():
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
