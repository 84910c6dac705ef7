"""What only a real broker can show."""

import json
import subprocess
import sys

import numpy as np
import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.errors import LogTruncationError
from kafka.structs import OffsetAndMetadata

from worker.dead_letters.base import DeadLetter
from worker.dead_letters.kafka import KafkaDeadLetters
from worker.decode import Decoder
from worker.errors import (
    DataLossError,
    Reason,
    RejectedError,
    SettingsError,
    SourceUnavailableError,
)
from worker.records import Upsert
from worker.sources.kafka_client import client_options
from worker.sources.kafka_settings import KafkaSettings
from worker.sources.kafka_source import KafkaSource

PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


def read(source, count):
    records = []
    for _ in range(150):
        records += source.poll(1_000, 0.1)
        if len(records) >= count:
            break
    assert len(records) == count
    return records


def test_records_of_apaches_own_producer_arrive(kafka_log):
    """JSON with keys, sent by kafka-console-producer, is decoded to images."""
    lines = "".join(f'img{n}|{{"embedding": [1, {n}], "model": "m"}}\n' for n in range(3))
    kafka_log.kafka.run_tool(
        PRODUCER,
        *("--bootstrap-server", kafka_log.kafka.bootstrap, "--topic", kafka_log.topic),
        *("--property", "parse.key=true", "--property", "key.separator=|"),
        input=lines.encode(),
    )
    source = kafka_log.source()
    source.open({})
    records = [Decoder().decode(raw) for raw in read(source, 3)]
    assert records == [Upsert("main", f"img{n}", None, model="m") for n in range(3)]
    assert np.allclose(records[2].embedding, [1 / 5**0.5, 2 / 5**0.5])


def test_committed_offsets_show_in_apaches_own_tools(kafka_log):
    """The group's offset and lag are what `kafka-consumer-groups` prints."""
    kafka_log.fill(range(5))
    source = kafka_log.source()
    source.open({})
    read(source, 5)
    source.commit({kafka_log.partition: 3})
    source.close()
    done = kafka_log.kafka.run_tool(
        GROUPS,
        *("--bootstrap-server", kafka_log.kafka.bootstrap),
        *("--describe", "--group", kafka_log.topic),
    )
    line = next(line for line in done.stdout.decode().splitlines() if kafka_log.topic in line)
    group, _, partition, current, end, lag, *_ = line.split()
    assert (group, partition, current, end, lag) == (kafka_log.topic, "0", "3", "5", "2")


def test_records_of_aborted_transactions_do_not_arrive(kafka_log):
    """Only what was committed is read, and the markers between leave no lag."""
    options = client_options(kafka_log.kafka.bootstrap, {}, 10)
    producer = KafkaProducer(**options, transactional_id=kafka_log.topic)
    producer.init_transactions()
    for number, end in enumerate([producer.abort_transaction, producer.commit_transaction]):
        producer.begin_transaction()
        producer.send(kafka_log.topic, b"x", b"%d" % number).get(10)
        end()
    producer.close()
    source = kafka_log.source()
    source.open({})
    assert [record.key for record in read(source, 1)] == [b"1"]
    source.poll(10, 0.5)
    assert source.lag() == {kafka_log.partition: 0}


def test_workers_share_the_partitions_by_number(kafka, topic):
    """Each worker reads the partitions whose number modulo the workers is its own."""
    kafka.create_topic(topic, partitions=5)
    taken = []
    for ordinal in range(2):
        settings = KafkaSettings(kafka.bootstrap, topic, ordinal=ordinal, workers=2)
        source = KafkaSource(settings)
        source.open({f"{topic}/0": 0, f"{topic}/9": 0})
        taken.append(sorted(source.lag()))
        source.close()
    assert taken == [[f"{topic}/{n}" for n in (0, 2, 4)], [f"{topic}/{n}" for n in (1, 3)]]


def test_a_record_of_10_mb_is_refused_and_kept(kafka, topic):
    """It is read, refused as too large, and its letter goes without the value."""
    kafka.create_topic(topic, config={"max.message.bytes": str(20 * 2**20)})
    options = client_options(kafka.bootstrap, {}, 10)
    producer = KafkaProducer(**options, max_request_size=20 * 2**20)
    body = json.dumps({"embedding": [1, 2], "uri": "x" * 10 * 2**20}).encode()
    producer.send(topic, body, b"huge")
    producer.send(topic, b'{"embedding": [1, 2]}', b"next")
    producer.flush()
    producer.close()
    source = KafkaSource(KafkaSettings(kafka.bootstrap, topic))
    source.open({})
    huge, following = read(source, 2)
    source.close()
    with pytest.raises(RejectedError) as error:
        Decoder().decode(huge)
    assert error.value.reason == Reason.TOO_LARGE
    assert Decoder().decode(following).id == "next"

    letters = KafkaDeadLetters(kafka.bootstrap, f"{topic}.dead")
    letters.send([DeadLetter(huge, error.value.reason, error.value.detail)])
    letters.close()
    dead = KafkaSource(KafkaSettings(kafka.bootstrap, f"{topic}.dead"))
    dead.open({})
    (letter,) = read(dead, 1)
    dead.close()
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (b"huge", b"")
    assert headers["shoal-reason"] == b"too_large"
    assert headers["shoal-truncated-bytes"] == str(len(body)).encode()


def test_lag_grows_while_paused(kafka_log):
    """A paused source still learns of what is produced."""
    kafka_log.fill(range(2))
    source = kafka_log.source()
    source.open({})
    source.pause()
    source.poll(10, 0.1)
    kafka_log.fill(range(3))
    assert source.lag() == {kafka_log.partition: 5}


def test_a_topic_that_comes_late_is_waited_for(kafka, topic):
    """Up to a limit, which ends in an error that names the topic."""
    settings = KafkaSettings(kafka.bootstrap, topic, start_timeout_seconds=0.3)
    with pytest.raises(SourceUnavailableError, match=f"topic '{topic}' does not exist"):
        KafkaSource(settings).open({})


def test_brokers_that_are_not_there_are_an_error_to_retry(unused_port):
    """Connecting fails after the limit, naming the address."""
    bootstrap = f"127.0.0.1:{unused_port}"
    settings = KafkaSettings(bootstrap, "t", start_timeout_seconds=0.3)
    with pytest.raises(SourceUnavailableError, match=bootstrap):
        KafkaSource(settings).open({})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bootstrap": " , "}, "kafka_bootstrap: ' , ': must be brokers"),
        ({"bootstrap": "kafka:port"}, "kafka_bootstrap: 'kafka:port': must be brokers"),
        ({"bootstrap": "kafka:99999"}, "kafka_bootstrap: 'kafka:99999': must be brokers"),
        ({"topic": "a b"}, "topic: 'a b'"),
        ({"topic": ".."}, "topic"),
        ({"group": ""}, "group"),
        ({"ordinal": 2, "workers": 2}, "ordinal: 2 must be"),
        ({"ordinal": -1}, "ordinal: -1"),
        ({"workers": 0}, r"below workers \(0\)"),
        ({"security": {"sasl_user": "x"}}, "security: sasl_user is unknown; allowed: sasl"),
    ],
)
def test_settings_that_cannot_work_are_refused(options, says):
    """The error names the setting, the value and what is allowed."""
    with pytest.raises(SettingsError, match=says):
        KafkaSource(KafkaSettings(**({"bootstrap": "127.0.0.1:1", "topic": "t"} | options))).open(
            {}
        )


def test_a_wrong_security_protocol_fails_with_a_word_about_it(kafka):
    """A TLS client at a plain listener does not wait for ever."""
    script = (
        "from worker.sources.kafka_settings import KafkaSettings;"
        "from worker.sources.kafka_source import KafkaSource;"
        f"security = {{'security_protocol': 'SSL'}}; bootstrap = {kafka.bootstrap!r};"
        "settings = KafkaSettings(bootstrap, 't', security=security, start_timeout_seconds=1.0);"
        "KafkaSource(settings).open({})"
    )
    # In a process of its own, since kafka-python leaves its TLS sockets open.
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"SourceUnavailableError: connecting to Kafka at {kafka.bootstrap}" in done.stderr


def test_a_deleted_partition_position_is_checked_by_the_broker_itself(kafka_log):
    """Records deleted between open and poll are found by the broker's answer to the fetch."""
    kafka_log.fill(range(4))
    source = kafka_log.source(accept_loss=True)
    source.open({kafka_log.partition: 0})
    kafka_log.admin.delete_records({TopicPartition(kafka_log.topic, 0): 3})
    assert [record.offset for record in read(source, 1)] == [3]
    assert source.lost_records == 3


def test_a_cut_log_is_told_by_poll_alone(kafka_log):
    """Lag and end are asked between polls, where the news that the log was cut may wait as well."""
    kafka_log.fill(range(3))
    source = kafka_log.source(until_end=True)
    source.open({})
    read(source, 3)
    found = LogTruncationError({TopicPartition(kafka_log.topic, 0): OffsetAndMetadata(2, "", 0)})
    # A single broker never cuts its log, so the consumer is given what a validation leaves.
    fetcher = source._consumer._fetcher
    fetcher._cached_log_truncation = found
    assert source.lag() == {kafka_log.partition: 0}
    fetcher._cached_log_truncation = found
    assert source.exhausted
    fetcher._cached_log_truncation = found
    with pytest.raises(DataLossError, match="offset 3"):
        source.poll(10, 0.1)
