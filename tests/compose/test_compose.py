import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from kafka import KafkaConsumer

from worker.settings import ENV_PREFIX, load, unknown_variables

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_services():
    """Everything that a person with Docker needs to see it work."""
    assert set(SERVICES) == {
        "kafka",
        "topic",
        "valkey",
        "worker",
        "producer",
        "prometheus",
        "grafana",
    }
    for service in SERVICES.values():
        assert set(service.get("depends_on", [])) <= set(SERVICES)


@pytest.mark.parametrize("name", ["worker", "producer"])
def test_settings(name, monkeypatch):
    """Every variable is a setting with a value that can work."""
    environment = SERVICES[name]["environment"]
    ours = {name: value for name, value in environment.items() if name.startswith(ENV_PREFIX)}
    assert ours == environment
    assert unknown_variables(ours) == []
    for variable, value in ours.items():
        monkeypatch.setenv(variable, value)
    settings = load({})
    assert settings.kafka_bootstrap == "kafka:9092"
    assert settings.kafka_topic in SERVICES["topic"]["command"]
    assert settings.redis_url.get_secret_value() == "redis://valkey:6379/0"


def test_no_rights():
    """Worker and producer run with a read-only root, without capabilities."""
    for name in ("worker", "producer"):
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
        assert SERVICES[name]["tmpfs"] == ["/tmp"]


def test_ports():
    """Nothing listens beyond this machine, and no two on one port."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == len(set(published)) == 4
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in published)
    inside = COMPOSE["services"]["kafka"]["environment"]["KAFKA_LISTENERS"]
    assert "INSIDE://:9092" in inside
    assert "OUTSIDE://:29092" in inside


def test_images_are_pinned():
    """Each has a version."""
    for service in SERVICES.values():
        assert re.fullmatch(r"[a-z/-]+:v?\d[\w.-]*", service["image"])


def test_files_are_there():
    """What is mounted from the project is in the project; named volumes are declared."""
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    for mount in mounts:
        source = mount.split(":")[0]
        if source.startswith("./helm/shoal/"):  # a folder of files that the chart has as well
            assert source.removeprefix("./helm/shoal/") in {"rules", "dashboards"}
        elif source.startswith("./"):
            assert (ROOT / source).exists()
        else:
            assert source in COMPOSE["volumes"]


def test_prometheus_scrapes_the_worker():
    """At the port where it listens, and reads the rules where they are mounted."""
    config = yaml.safe_load((ROOT / "compose/prometheus.yaml").read_text())
    [job] = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["worker:9108"]}]
    assert "127.0.0.1:9108:9108" in SERVICES["worker"]["ports"]
    assert config["rule_files"] == ["rules/*.yaml"]
    mounts = SERVICES["prometheus"]["volumes"]
    assert "./helm/shoal/rules:/etc/prometheus/rules:ro" in mounts


def test_promtool(promtool, tmp_path):
    """Prometheus takes its configuration."""
    shutil.copy(ROOT / "compose/prometheus.yaml", tmp_path / "prometheus.yml")
    shutil.copytree(ROOT / "helm/shoal/rules", tmp_path / "rules")
    command = [promtool, "check", "config", tmp_path / "prometheus.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_shows_the_dashboards_of_the_chart():
    """Provisioned from the same files, with Prometheus as the source."""
    folder = ROOT / "compose/grafana"
    [provider] = yaml.safe_load((folder / "dashboards/shoal.yaml").read_text())["providers"]
    [source] = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    mounts = SERVICES["grafana"]["volumes"]
    assert f"./helm/shoal/dashboards:{provider['options']['path']}:ro" in mounts
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"] is True


def test_the_producer_sends_the_digits(kafka, topic, monkeypatch):
    """Its program, against a real Kafka: all 1,797 images, each once."""
    kafka.create_topic(topic, 2)
    monkeypatch.setenv("SHOAL_KAFKA_BOOTSTRAP", kafka.bootstrap)
    monkeypatch.setenv("SHOAL_KAFKA_TOPIC", topic)
    command = [sys.executable, ROOT / "compose/digits.py", "100000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=kafka.bootstrap,
        auto_offset_reset="earliest",
        consumer_timeout_ms=5_000,
        metrics_enabled=False,
    )
    with closing(consumer):
        keys = [record.key for record in consumer]
    assert len(keys) == len(set(keys)) == 1_797
