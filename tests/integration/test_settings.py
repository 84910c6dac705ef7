"""Settings that cannot work end the start with one line: name, value, and what is allowed."""

import os
import sys

import pytest

from worker import cli


@pytest.fixture
def start(monkeypatch, tmp_path, capsys):
    """Runs `shoal worker` in this process up to its failure: exit status and last words."""

    def start(*arguments, **settings):
        for name in [name for name in os.environ if name.startswith("SHOAL_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "data"))
        for name, value in settings.items():
            monkeypatch.setenv(f"SHOAL_{name.upper()}", str(value))
        monkeypatch.setattr(sys, "argv", ["shoal", "worker", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().err.strip().splitlines()

    return start


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"http_port": "70000"}, ["http_port", "'70000'", "65535"]),
        ({"http_port": "many"}, ["http_port", "'many'", "integer"]),
        ({"source": "rabbit"}, ["source", "'rabbit'", "'kafka'", "'files'"]),
        ({"source": "files"}, ["files", "()", "at least one file"]),
        ({"worker_ordinal": "2", "worker_count": "2"}, ["worker_ordinal", "2", "below"]),
        ({"redis_url": "http://u:hunter2@nowhere"}, ["redis_url", "redis://"]),
        ({"redis_prefix": "a{b}"}, ["redis_prefix", "'a{b}'", "A-Za-z0-9"]),
        ({"collection": "no/slash"}, ["collection", "'no/slash'", "A-Za-z0-9"]),
        ({"kafka_topic": "no spaces"}, ["kafka_topic", "'no spaces'", "letters"]),
        ({"kafka_dead_letter_topic": "b:d"}, ["kafka_dead_letter_topic", "'b:d'", "letters"]),
        ({"kafka_bootstrap": "kafka:port"}, ["kafka_bootstrap", "'kafka:port'", "host:port"]),
        ({"kafka_ca_file": "/no/ca"}, ["kafka_ca_file", "'PLAINTEXT'", "SASL_SSL"]),
        ({"kafka_security_protocol": "SASL_SSL"}, ["kafka_sasl_mechanism: missing", "SASL_SSL"]),
        ({"http_host": "203.0.113.1"}, ["http_host", "'203.0.113.1'"]),
        ({"neighbours": "1"}, ["neighbours", "'1'", "2"]),
        ({"granularity": "thong"}, ["granularity", "'thong'", "'shot'", "'thing'", "'kind'"]),
        ({"weights": "/nowhere/w.safetensors"}, ["weights", "/nowhere/w.safetensors"]),
    ],
)
def test_settings_that_cannot_work(start, settings, parts):
    """Exit status 2, and one line that names the setting, its value and what is allowed."""
    status, lines = start(**settings)
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith("shoal: ")
    assert [part for part in parts if part not in lines[0]] == []
    assert "hunter2" not in lines[0]


def test_config_file_with_an_unknown_key(start, tmp_path):
    """A key that is no setting is named, with those that are."""
    file = tmp_path / "shoal.toml"
    file.write_text('sauce = "kafka"\n')
    status, [line] = start("--config", str(file))
    assert status == 2
    assert f"config: {file}: 'sauce' is no setting; allowed: source, files," in line


def test_data_directory_that_cannot_be(start, tmp_path):
    """A data directory beneath a file is refused by name, with the status for data directories."""
    (tmp_path / "file").touch()
    status, [line] = start(data_dir=tmp_path / "file" / "data")
    assert status == 3
    assert "data_dir" in line
    assert str(tmp_path / "file" / "data") in line


def test_port_that_is_taken(stage):
    """The second worker on a port says which one, and ends with status 2."""
    stage.create_topic()
    first = stage.start().ready()
    port = first.address.rpartition(":")[2]
    second = stage.start(data_dir=stage.folder / "second", redis_prefix="other", http_port=port)
    assert second.wait() == 2
    assert f"http_port: {port}: " in second.text().strip().splitlines()[-1]
    assert first.stop() == 0
