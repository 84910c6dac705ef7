import json

import numpy as np
import pytest
from typer.testing import CliRunner

from worker.cli import app
from worker.decode import Decoder
from worker.errors import SettingsError, SourceUnavailableError
from worker.records import RawRecord, Upsert
from worker.sending import Format, Sender, encode
from worker.sources.kafka_settings import KafkaSettings
from worker.sources.kafka_source import KafkaSource

ROWS = np.random.default_rng(3).standard_normal((40, 6)).astype(np.float32)
UNIT = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)


def shoal(*arguments):
    return CliRunner().invoke(app, ["send", *map(str, arguments)])


@pytest.fixture
def arrived(kafka, topic):
    """What came to the topic, as (partition number, decoded image)."""

    def arrived():
        source = KafkaSource(KafkaSettings(kafka.bootstrap, topic, until_end=True))
        source.open({})
        records = []
        while not source.exhausted:
            records += source.poll(1_000, 0.2)
        source.close()
        return [(int(raw.partition[-1]), Decoder().decode(raw)) for raw in records]

    return arrived


@pytest.mark.parametrize("form", list(Format))
def test_files_arrive_as_images(kafka, topic, tmp_path, arrived, form):
    """Every row comes once, with the id of the file, in each format; ids spread over partitions."""
    kafka.create_topic(topic, partitions=3)
    np.savez(tmp_path / "few.npz", features=ROWS, labels=np.zeros(40))
    target = ("--topic", topic, "--bootstrap", kafka.bootstrap)
    result = shoal(tmp_path / "few.npz", *target, "--format", form, "--model", "m")
    assert result.exit_code == 0, result.output
    assert f"sent 40 records to {topic}" in result.stdout
    images = sorted((record for _, record in arrived()), key=lambda record: record.id)
    assert images == [Upsert("main", f"few/{n:02}", None, model="m") for n in range(40)]
    accuracy = 1e-3 if form is Format.FLOAT16 else 1e-6
    assert np.allclose([image.embedding for image in images], UNIT, atol=accuracy)
    assert {partition for partition, _ in arrived()} == {0, 1, 2}


def test_a_collection_lives_on_one_partition(kafka, topic, tmp_path, arrived):
    """Rows of one named collection are kept together, rows that name another go elsewhere."""
    kafka.create_topic(topic, partitions=4)
    lines = [
        json.dumps(
            {"id": str(n), "embedding": ROWS[n].tolist()} | ({"collection": "own"} if n % 2 else {})
        )
        for n in range(20)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    target = ("--topic", topic, "--bootstrap", kafka.bootstrap)
    assert shoal(tmp_path / "a.jsonl", *target, "--collection", "family:1").exit_code == 0
    places = {}
    for partition, image in arrived():
        places.setdefault(image.collection, set()).add(partition)
    assert {name: len(found) for name, found in places.items()} == {"family:1": 1, "own": 1}


def test_bad_rows_are_told_and_the_rest_is_sent(kafka, topic, tmp_path, arrived):
    """The exit status is 1 and the rows are named."""
    kafka.create_topic(topic)
    rows = ROWS.copy()
    rows[7] = 0
    np.save(tmp_path / "a.npy", rows)
    result = shoal(tmp_path / "a.npy", "--topic", topic, "--bootstrap", kafka.bootstrap)
    assert result.exit_code == 1
    assert "a.npy, row 7: zero_vector" in result.stderr
    assert len(arrived()) == 39


def test_the_rate_is_kept(kafka, topic, tmp_path):
    """With --rate the records do not come faster."""
    kafka.create_topic(topic)
    np.save(tmp_path / "a.npy", ROWS[:11])
    target = ("--topic", topic, "--bootstrap", kafka.bootstrap)
    result = shoal(tmp_path / "a.npy", *target, "--rate", "20")
    seconds = float(result.stdout.split(" in ")[1].split()[0])
    assert seconds >= 0.5


def test_the_config_says_where(kafka, topic, tmp_path, arrived, monkeypatch):
    """Brokers and topic may come from the worker's own file; without a topic nothing is sent."""
    for name in ("SHOAL_KAFKA_TOPIC", "SHOAL_KAFKA_BOOTSTRAP", "SHOAL_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    kafka.create_topic(topic)
    np.save(tmp_path / "a.npy", ROWS[:3])
    config = tmp_path / "shoal.toml"
    config.write_text(f'kafka_bootstrap = "{kafka.bootstrap}"\nkafka_topic = "{topic}"\n')
    assert shoal(tmp_path / "a.npy", "--config", config).exit_code == 0
    assert len(arrived()) == 3
    result = shoal(tmp_path / "a.npy")
    assert "kafka_topic: say where" in str(result.exception)


def test_a_collection_that_cannot_be_is_refused_before_anything_is_sent(tmp_path):
    """The error names the value and what is allowed."""
    np.save(tmp_path / "a.npy", ROWS)
    result = shoal(tmp_path / "a.npy", "--topic", "t", "--collection", "a b")
    assert isinstance(result.exception, SettingsError)
    assert "collection: 'a b': must match" in str(result.exception)


def test_a_missing_topic_is_named(kafka, topic):
    """Nothing is created behind anybody's back."""
    with pytest.raises(SourceUnavailableError, match=f"topic '{topic}' does not exist"):
        Sender(kafka.bootstrap, topic, timeout_seconds=0.5)


def test_every_field_survives_the_way():
    """What is encoded decodes to the same image, in each format."""
    image = Upsert("c", "ü", UNIT[0], "m", "g", "u", 5.25)
    for form in Format:
        message = encode(image, form)
        raw = RawRecord("t/0", 0, message.key, message.value, tuple(message.headers))
        assert Decoder().decode(raw) == image
