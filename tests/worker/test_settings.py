import re
from pathlib import Path

import pytest

from worker.errors import SettingsError
from worker.settings import Settings, load, unknown_variables


def test_rising_order(monkeypatch, tmp_path):
    """An option beats the file, the file beats the environment, and that beats the default."""
    config = tmp_path / "shoal.toml"
    config.write_text('kafka_topic = "file"\nkafka_group = "file"\n')
    for name in ("KAFKA_TOPIC", "KAFKA_GROUP", "REDIS_PREFIX"):
        monkeypatch.setenv(f"SHOAL_{name}", "env")
    settings = load({"kafka_topic": "option", "kafka_group": None}, config)
    assert settings.kafka_topic == "option"
    assert settings.kafka_group == "file"
    assert settings.redis_prefix == "env"
    assert settings.collection == "main"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"http_port": "99999"}, "http_port: '99999': .*65535"),
        ({"source": "rabbit"}, "source: 'rabbit': .*'kafka' or 'files'"),
        ({"worker_ordinal": "3"}, "worker_ordinal: 3 must be below worker_count"),
        ({"redis_prefix": "a b"}, "redis_prefix: 'a b'"),
        ({"collection": "../etc"}, "collection: '../etc'"),
        ({"bad_ratio": "0"}, "bad_ratio: '0'"),
        ({"data_dir": ""}, "data_dir: '': must not be empty"),
        ({"embedding_field": ""}, "embedding_field: '': .*at least 1 character"),
        ({"lease_seconds": "inf"}, "lease_seconds: 'inf': .*finite"),
        ({"kafka_dead_letter_topic": "images"}, "kafka_dead_letter_topic: 'images' must be anoth"),
        ({"recluster_seconds": "soon"}, "recluster_seconds: 'soon'"),
    ],
)
def test_what_cannot_work(options, message):
    """A setting that cannot work is named with its value and what is allowed."""
    with pytest.raises(SettingsError, match=message):
        load(options)


def test_nothing_is_nothing(monkeypatch):
    """An empty variable is the default where that is nothing, as templates leave them behind."""
    for name in ("ID_FIELD", "GROUP_SIZE", "WEIGHTS", "KAFKA_CA_FILE", "KAFKA_PASSWORD"):
        monkeypatch.setenv(f"SHOAL_{name}", "")
    settings = load({"kafka_username": ""})
    unset = (settings.id_field, settings.group_size, settings.weights, settings.kafka_ca_file)
    assert unset == (None, None, None, None)
    assert (settings.kafka_password, settings.kafka_username) == (None, None)


def test_secrets_are_not_shown():
    """Neither the settings nor an error about them show a password."""
    secret = "redis://:hunter2@localhost"
    assert "hunter2" not in repr(load({"redis_url": secret}))
    with pytest.raises(SettingsError) as error:
        load({"redis_url": secret, "http_port": "x"})
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("topics = 'x'", "'topics' is no setting"), ("= 1", "not TOML"), (None, "No such file")],
)
def test_bad_files(tmp_path, text, message):
    """A file of settings that cannot be used is refused with its path and why."""
    config = tmp_path / "shoal.toml"
    if text is not None:
        config.write_text(text)
    with pytest.raises(SettingsError, match=message):
        load({}, config)


def test_files_by_commas(monkeypatch):
    """Several files are given by commas."""
    monkeypatch.setenv("SHOAL_FILES", "a.npz,b.npy")
    assert load({"source": "files"}).files == (Path("a.npz"), Path("b.npy"))


def test_misspelt_variables_are_found():
    """A `SHOAL_` variable that no setting has is told."""
    known = [f"SHOAL_{name.upper()}" for name in Settings.model_fields]
    environment = dict.fromkeys([*known, "SHOAL_DATA", "SHOAL_KAFKA_TOPICS", "PATH"], "x")
    assert unknown_variables(environment) == ["SHOAL_KAFKA_TOPICS"]


def test_every_setting_is_described():
    """Every setting has a meaning to print."""
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(("word", "told"), [("kind", "kind"), ("none", None)])
def test_none_is_no_word(word, told):
    """A model is told the word, or nothing."""
    assert Settings(granularity=word).told_granularity == told


@pytest.mark.parametrize(
    ("url", "data_dir"),
    [
        ("{}/data", "data"),
        ("{}/data/backups", "data"),
        ("{}/link/backups", "data"),
        ("{}/data/../data/b", "link"),
        ("file://{}/data/backups", "data"),
        ("local://{}/data/backups", "data"),
        ("data/backups", "data"),
        ("{}", "worker-0"),
    ],
)
def test_backups_in_the_data_directory(tmp_path, monkeypatch, url, data_dir):
    """Erasures and searches for what is left would meet backups: their folder is refused."""
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    given = {"backup_url": url.format(tmp_path), "data_dir": str(tmp_path / data_dir)}
    expected = f"backup_url: {given['backup_url']!r} must not lie in data_dir ({given['data_dir']})"
    with pytest.raises(SettingsError, match=re.escape(expected)):
        load(given)


@pytest.mark.parametrize(
    "url", ["{}/data-backups", "{}", "file://{}/backups", "s3://data/backups", "memory://data/b"]
)
def test_backups_beside_the_data_directory(tmp_path, monkeypatch, url):
    """Any other place will do."""
    monkeypatch.chdir(tmp_path)
    assert load({"backup_url": url.format(tmp_path), "data_dir": "data"}).backup_url
