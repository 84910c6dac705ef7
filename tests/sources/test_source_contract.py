"""One contract for every source: the fake, the files and the real Kafka."""

import json
import time

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from worker.errors import DataLossError
from worker.sources.file_source import FileSource
from worker.sources.kafka_settings import KafkaSettings
from worker.sources.kafka_source import KafkaSource
from worker.testing.source import MemorySource, MemoryTopic


def read(source, count, seconds=15.0):
    """Poll until `count` records came."""
    records, deadline = [], time.monotonic() + seconds
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records came"
        records += source.poll(1_000, 0.1)
    return records


def value(number):
    return json.dumps({"id": str(number), "embedding": [1, number]}).encode()


class SourceContract:
    """What holds for every source. `log` has `partition`, `fill`, `empty` and `source`."""

    def opened(self, log, positions=None, **options):
        source = log.source(**options)
        source.open(positions or {})
        return source

    def test_records_come_in_order_as_they_were_sent(self, log):
        """Key, value and partition arrive unchanged, offsets grow from the first record."""
        log.fill(range(5))
        records = read(self.opened(log), 5)
        assert [b"0", b"1", b"2", b"3", b"4"] == [record.key for record in records]
        assert [value(number) for number in range(5)] == [record.value for record in records]
        assert [0, 1, 2, 3, 4] == [record.offset for record in records]
        assert {log.partition} == {record.partition for record in records}

    def test_reading_starts_at_the_given_position(self, log):
        """The offset given for a partition is the first that comes."""
        log.fill(range(5))
        assert [3, 4] == [record.offset for record in read(self.opened(log, {log.partition: 3}), 2)]

    def test_positions_elsewhere_are_ignored(self, log):
        """Positions in partitions of something else neither harm nor count."""
        log.fill(range(2))
        assert 2 == len(read(self.opened(log, {"elsewhere/7": 9}), 2))

    def test_a_poll_returns_no_more_than_asked(self, log):
        """`max_records` bounds a batch, and what is left comes with the next ones."""
        log.fill(range(5))
        source = self.opened(log)
        sizes = []
        while sum(sizes) < 5:
            sizes.append(len(source.poll(2, 0.1)))
        assert max(sizes) == 2

    def test_nothing_comes_while_paused(self, log):
        """Pausing stops delivery in the middle, resuming goes on with the next record."""
        log.fill(range(4))
        source = self.opened(log)
        first = read_some(source)
        source.pause()
        assert [] == source.poll(10, 0.05)
        source.resume()
        rest = read(source, 4 - len(first))
        assert [0, 1, 2, 3] == [record.offset for record in [*first, *rest]]

    def test_lag_counts_what_is_not_read(self, log):
        """Lag is what is left of each partition, also while paused."""
        log.fill(range(4))
        source = self.opened(log, {log.partition: 1})
        source.pause()
        assert {log.partition: 3} == source.lag()
        source.resume()
        read(source, 3)
        assert {log.partition: 0} == source.lag()

    def test_an_empty_source_has_nothing(self, log):
        """No records is no error."""
        log.empty()
        source = self.opened(log)
        assert [] == source.poll(10, 0.05)
        assert 0 == sum(source.lag().values())

    def test_the_end_of_what_there_is_can_be_seen(self, log):
        """`exhausted` turns true with the last record."""
        log.fill(range(3))
        source = self.opened(log, until_end=True)
        assert not source.exhausted
        read(source, 3)
        assert source.exhausted

    def test_a_position_past_the_end_is_data_loss(self, log):
        """What was read is not there any more: the error says partition, position and end."""
        log.fill(range(3))
        with pytest.raises(DataLossError, match=r"offset 9 .* 0 to 2, 6 records are gone") as error:
            self.opened(log, {log.partition: 9})
        assert log.partition in str(error.value)

    def test_accepted_loss_past_the_end_reads_from_the_first(self, log):
        """Where loss is accepted it is counted, and reading starts at the first record."""
        log.fill(range(3))
        source = self.opened(log, {log.partition: 9}, accept_loss=True)
        assert [0, 1, 2] == [record.offset for record in read(source, 3)]
        assert 6 == source.lost_records

    def test_commit_and_close_do_not_raise(self, log):
        """Showing positions is best effort."""
        log.fill(range(2))
        source = self.opened(log)
        read(source, 2)
        source.commit({log.partition: 2, "elsewhere/1": 5})
        source.close()


class LogContract(SourceContract):
    """What holds for sources that grow and shrink while they are read."""

    def test_headers_and_null_values_arrive(self, log):
        """Headers keep order and bytes; a null value stays null."""
        log.fill([])
        log.append(b"a", None, (("collection", b"x"), ("y", b"\xff")))
        (record,) = read(self.opened(log), 1)
        assert record.value is None
        assert (("collection", b"x"), ("y", b"\xff")) == record.headers

    def test_records_sent_later_come_later(self, log):
        """An open source goes on with what is appended."""
        log.fill(range(2))
        source = self.opened(log)
        read(source, 2)
        log.append(b"2", value(2))
        assert [2] == [record.offset for record in read(source, 1)]

    def test_a_partition_without_position_starts_at_its_first_record(self, log):
        """Records deleted before the first start are no loss."""
        log.fill(range(5))
        log.truncate(2)
        source = self.opened(log)
        assert [2, 3, 4] == [record.offset for record in read(source, 3)]
        assert 0 == source.lost_records

    def test_records_deleted_while_away_are_data_loss(self, log):
        """A position before the first record says how many are gone."""
        log.fill(range(5))
        log.truncate(4)
        with pytest.raises(DataLossError, match=r"offset 1 .* 4 to 4, 3 records are gone"):
            self.opened(log, {log.partition: 1})

    def test_accepted_deletion_goes_on_at_the_first_record(self, log):
        """Where loss is accepted it is counted, and the rest is read."""
        log.fill(range(5))
        log.truncate(4)
        source = self.opened(log, {log.partition: 1}, accept_loss=True)
        assert [4] == [record.offset for record in read(source, 1)]
        assert 3 == source.lost_records

    def test_records_deleted_under_it_are_data_loss(self, log):
        """Deleting what an open source has not read yet stops it, again and again."""
        log.fill(range(1))
        source = self.opened(log)
        read(source, 1)
        source.pause()
        log.fill(range(1, 8))
        log.truncate(5)
        source.resume()
        for _ in range(2):
            with pytest.raises(DataLossError, match=r"offset 1 .* 5 to 7, 4 records are gone"):
                read(source, 1)

    def test_accepted_deletion_under_it_is_counted(self, log):
        """Where loss is accepted an open source goes on by itself."""
        log.fill(range(1))
        source = self.opened(log, accept_loss=True)
        read(source, 1)
        source.pause()
        log.fill(range(1, 8))
        log.truncate(5)
        source.resume()
        assert [5, 6, 7] == [record.offset for record in read(source, 3)]
        assert 4 == source.lost_records

    def test_a_topic_made_anew_under_it_is_data_loss(self, log):
        """A new topic of the same name does not pass for the old one."""
        log.fill(range(3))
        source = self.opened(log)
        read(source, 3)
        log.make_anew()
        log.fill(range(1))
        with pytest.raises(DataLossError, match="made anew"):
            read(source, 1)

    def test_an_accepted_new_topic_is_read_from_its_start(self, log):
        """Where loss is accepted the new topic is read from its first record."""
        log.fill(range(3))
        source = self.opened(log, accept_loss=True)
        read(source, 3)
        log.make_anew()
        log.fill(range(2))
        assert [0, 1] == [record.offset for record in read(source, 2)]

    def test_a_partition_that_is_gone_is_data_loss(self, log):
        """A position in a partition that does not exist any more is not passed over."""
        log.fill(range(1))
        gone = log.partition.replace("/0", "/5")
        with pytest.raises(DataLossError, match="offset 4 is next to be read, there are none"):
            self.opened(log, {gone: 4})

    def test_added_partitions_are_read(self, log):
        """A partition added while the source is open is read from its start."""
        log.fill(range(1))
        source = self.opened(log)
        read(source, 1)
        log.add_partition()
        log.append(b"new", value(9), partition=1)
        (record,) = read(source, 1)
        assert (b"new", 0) == (record.key, record.offset)
        assert 2 == len(source.lag())


def read_some(source):
    while not (records := source.poll(2, 0.1)):
        pass
    return records


class MemoryLog:
    def __init__(self):
        self.topic = MemoryTopic()
        self.partition = "images/0"
        self.append = self.topic.append
        self.truncate = self.topic.truncate
        self.make_anew = self.topic.make_anew
        self.add_partition = self.topic.add_partition

    def empty(self):
        pass

    def fill(self, numbers):
        for number in numbers:
            self.append(str(number).encode(), value(number))

    def source(self, **options):
        return MemorySource(self.topic, **options)


class FileLog:
    def __init__(self, folder):
        self.path = folder / "images.jsonl"
        self.partition = str(self.path)
        self.sources = []

    def empty(self):
        self.path.touch()

    def fill(self, numbers):
        self.path.write_bytes(b"".join(value(number) + b"\n" for number in numbers))

    def source(self, *, until_end=False, accept_loss=False):
        del until_end  # files always end
        self.sources.append(FileSource([self.path], accept_loss=accept_loss))
        return self.sources[-1]


class KafkaLog:
    def __init__(self, kafka, topic):
        self.kafka, self.topic = kafka, topic
        self.partition = f"{topic}/0"
        self.sources = []
        self.admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        kafka.create_topic(topic)

    def empty(self):
        pass

    def append(self, key, value, headers=(), partition=0):
        self.send([(key, value, headers, partition)])

    def fill(self, numbers):
        self.send([(str(number).encode(), value(number), (), 0) for number in numbers])

    def send(self, records):
        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap)
        for key, body, headers, partition in records:
            producer.send(self.topic, body, key, list(headers), partition)
        producer.flush()
        producer.close()

    def truncate(self, before):
        self.admin.delete_records({TopicPartition(self.topic, 0): before})

    def make_anew(self):
        self.admin.delete_topics([self.topic])
        self.kafka.create_topic(self.topic)

    def add_partition(self):
        self.admin.create_partitions({self.topic: 2})

    def source(self, **options):
        settings = KafkaSettings(
            self.kafka.bootstrap, self.topic, group=self.topic, refresh_seconds=0.2, **options
        )
        self.sources.append(KafkaSource(settings))
        return self.sources[-1]


class TestMemorySource(LogContract):
    @pytest.fixture
    def log(self):
        return MemoryLog()

    def test_an_outage_passes(self):
        """While the topic is down nothing comes; afterwards reading goes on."""
        log = MemoryLog()
        log.fill(range(2))
        source = self.opened(log)
        log.topic.down = True
        assert [] == source.poll(10, 0.1)
        log.topic.down = False
        assert 2 == len(source.poll(10, 0.1))


class TestFileSource(SourceContract):
    @pytest.fixture
    def log(self, tmp_path):
        log = FileLog(tmp_path)
        yield log
        for source in log.sources:
            source.close()


class TestKafkaSource(LogContract):
    @pytest.fixture
    def log(self, kafka, topic):
        log = KafkaLog(kafka, topic)
        yield log
        for source in log.sources:
            source.close()
        log.admin.close()
