"""One contract for every source: the fake, the files and the real Kafka."""

import json
import time

import pytest

from worker.errors import DataLossError


def read(source, count, seconds=15.0):
    """Poll until `count` records came."""
    records, deadline = [], time.monotonic() + seconds
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records came"
        records += source.poll(1_000, 0.1)
    return records


def value(number):
    return json.dumps({"id": str(number), "embedding": [1, number]}).encode()


def read_some(source):
    """Poll until anything came, two records at most."""
    while not (records := source.poll(2, 0.1)):
        pass
    return records


def opened(log, positions=None, **options):
    source = log.source(**options)
    source.open(positions or {})
    return source


class SourceContract:
    """What holds for every source. `log` has `partition`, `fill`, `empty` and `source`."""

    def test_records_come_in_order_as_they_were_sent(self, log):
        """Key, value and partition arrive unchanged, offsets grow from the first record."""
        log.fill(range(5))
        records = read(opened(log), 5)
        assert [record.key for record in records] == [b"0", b"1", b"2", b"3", b"4"]
        assert [value(number) for number in range(5)] == [record.value for record in records]
        assert [record.offset for record in records] == [0, 1, 2, 3, 4]
        assert {log.partition} == {record.partition for record in records}

    def test_reading_starts_at_the_given_position(self, log):
        """The offset given for a partition is the first that comes."""
        log.fill(range(5))
        assert [record.offset for record in read(opened(log, {log.partition: 3}), 2)] == [3, 4]

    def test_positions_elsewhere_are_ignored(self, log):
        """Positions in partitions of something else neither harm nor count."""
        log.fill(range(2))
        assert len(read(opened(log, {"elsewhere/7": 9}), 2)) == 2

    def test_a_poll_returns_no_more_than_asked(self, log):
        """`max_records` bounds a batch, and what is left comes with the next ones."""
        log.fill(range(5))
        source = opened(log)
        sizes = []
        while sum(sizes) < 5:
            sizes.append(len(source.poll(2, 0.1)))
        assert max(sizes) == 2

    def test_nothing_comes_while_paused(self, log):
        """Pausing stops delivery in the middle, resuming goes on with the next record."""
        log.fill(range(4))
        source = opened(log)
        first = read_some(source)
        source.pause()
        assert source.poll(10, 0.05) == []
        source.resume()
        rest = read(source, 4 - len(first))
        assert [record.offset for record in [*first, *rest]] == [0, 1, 2, 3]

    def test_lag_counts_what_is_not_read(self, log):
        """Lag is what is left of each partition, also while paused."""
        log.fill(range(4))
        source = opened(log, {log.partition: 1})
        source.pause()
        assert {log.partition: 3} == source.lag()
        source.resume()
        read(source, 3)
        assert {log.partition: 0} == source.lag()

    def test_an_empty_source_has_nothing(self, log):
        """No records is no error."""
        log.empty()
        source = opened(log)
        assert source.poll(10, 0.05) == []
        assert sum(source.lag().values()) == 0

    def test_the_end_of_what_there_is_can_be_seen(self, log):
        """`exhausted` turns true with the last record."""
        log.fill(range(3))
        source = opened(log, until_end=True)
        assert not source.exhausted
        read(source, 3)
        assert source.exhausted

    def test_a_position_past_the_end_is_data_loss(self, log):
        """What was read is not there any more: the error says partition, position and end."""
        log.fill(range(3))
        with pytest.raises(DataLossError, match=r"offset 9 .* 0 to 2, 6 records are gone") as error:
            opened(log, {log.partition: 9})
        assert log.partition in str(error.value)

    def test_accepted_loss_past_the_end_reads_from_the_first(self, log):
        """Where loss is accepted it is counted, and reading starts at the first record."""
        log.fill(range(3))
        source = opened(log, {log.partition: 9}, accept_loss=True)
        assert [record.offset for record in read(source, 3)] == [0, 1, 2]
        assert source.lost_records == 6

    def test_commit_and_close_do_not_raise(self, log):
        """Showing positions is best effort."""
        log.fill(range(2))
        source = opened(log)
        read(source, 2)
        source.commit({log.partition: 2, "elsewhere/1": 5})
        source.close()


class LogContract(SourceContract):
    """What holds for sources that grow and shrink while they are read."""

    def test_what_another_one_committed(self, log):
        """A source sees what was committed before it was opened, by whomever."""
        log.fill(range(3))
        source = opened(log)
        assert source.committed() == {}
        read(source, 2)
        source.commit({log.partition: 2})
        source.close()
        assert opened(log).committed() == {log.partition: 2}

    def test_headers_and_null_values_arrive(self, log):
        """Headers keep order and bytes; a null value stays null."""
        log.fill([])
        log.append(b"a", None, (("collection", b"x"), ("y", b"\xff")))
        (record,) = read(opened(log), 1)
        assert record.value is None
        assert record.headers == (("collection", b"x"), ("y", b"\xff"))

    def test_records_sent_later_come_later(self, log):
        """An open source goes on with what is appended."""
        log.fill(range(2))
        source = opened(log)
        read(source, 2)
        log.append(b"2", value(2))
        assert [record.offset for record in read(source, 1)] == [2]

    def test_a_partition_without_position_starts_at_its_first_record(self, log):
        """Records deleted before the first start are no loss."""
        log.fill(range(5))
        log.truncate(2)
        source = opened(log)
        assert [record.offset for record in read(source, 3)] == [2, 3, 4]
        assert source.lost_records == 0

    def test_records_deleted_while_away_are_data_loss(self, log):
        """A position before the first record says how many are gone."""
        log.fill(range(5))
        log.truncate(4)
        with pytest.raises(DataLossError, match=r"offset 1 .* 4 to 4, 3 records are gone"):
            opened(log, {log.partition: 1})

    def test_accepted_deletion_goes_on_at_the_first_record(self, log):
        """Where loss is accepted it is counted, and the rest is read."""
        log.fill(range(5))
        log.truncate(4)
        source = opened(log, {log.partition: 1}, accept_loss=True)
        assert [record.offset for record in read(source, 1)] == [4]
        assert source.lost_records == 3

    def test_records_deleted_under_it_are_data_loss(self, log):
        """Deleting what an open source has not read yet stops it, again and again."""
        log.fill(range(1))
        source = opened(log)
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
        source = opened(log, accept_loss=True)
        read(source, 1)
        source.pause()
        log.fill(range(1, 8))
        log.truncate(5)
        source.resume()
        assert [record.offset for record in read(source, 3)] == [5, 6, 7]
        assert source.lost_records == 4

    def test_a_topic_made_anew_under_it_is_data_loss(self, log):
        """A new topic of the same name does not pass for the old one."""
        log.fill(range(3))
        source = opened(log)
        read(source, 3)
        log.make_anew()
        log.fill(range(1))
        with pytest.raises(DataLossError, match="made anew"):
            read(source, 1)

    def test_an_accepted_new_topic_is_read_from_its_start(self, log):
        """Where loss is accepted the new topic is read from its first record."""
        log.fill(range(3))
        source = opened(log, accept_loss=True)
        read(source, 3)
        log.make_anew()
        log.fill(range(2))
        assert [record.offset for record in read(source, 2)] == [0, 1]

    def test_a_partition_that_is_gone_is_data_loss(self, log):
        """A position in a partition that does not exist any more is not passed over."""
        log.fill(range(1))
        gone = log.partition.replace("/0", "/5")
        with pytest.raises(DataLossError, match="offset 4 is next to be read, there are none"):
            opened(log, {gone: 4})

    def test_added_partitions_are_read(self, log):
        """A partition added while the source is open is read from its start."""
        log.fill(range(1))
        source = opened(log)
        read(source, 1)
        log.add_partition()
        log.append(b"new", value(9), partition=1)
        (record,) = read(source, 1)
        assert (record.key, record.offset) == (b"new", 0)
        assert len(source.lag()) == 2


class TestMemorySource(LogContract):
    @pytest.fixture
    def log(self, memory_log):
        """A topic in memory."""
        return memory_log

    def test_an_outage_passes(self, log):
        """While the topic is down nothing comes; afterwards reading goes on."""
        log.fill(range(2))
        source = opened(log)
        log.topic.down = True
        assert source.poll(10, 0.1) == []
        log.topic.down = False
        assert len(source.poll(10, 0.1)) == 2


class TestFileSource(SourceContract):
    @pytest.fixture
    def log(self, file_log):
        """A file of JSON lines."""
        return file_log


class TestKafkaSource(LogContract):
    @pytest.fixture
    def log(self, kafka_log):
        """A topic of a real broker."""
        return kafka_log

    def test_an_outage_passes(self, log):
        """While the broker is away nothing comes; afterwards reading goes on by itself."""
        log.fill(range(2))
        source = opened(log)
        read(source, 2)
        log.kafka.kill()
        assert source.poll(10, 0.5) == []
        assert source.lag() == {log.partition: 0}
        source.commit({log.partition: 2})
        log.kafka.start()
        log.append(b"2", value(2))
        assert [record.offset for record in read(source, 1, seconds=30)] == [2]
