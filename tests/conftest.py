import uuid

import pytest
from hypothesis import settings
from needed import lacking

from worker.embedded import prometheus
from worker.embedded.kafka import EmbeddedKafka
from worker.errors import DependencyError

# No test is decided by a clock: a machine may be busy.
settings.register_profile("shoal", deadline=None)
settings.load_profile("shoal")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    """One real broker for the whole run. Without Java or Maven: skip, but fail under CI."""
    if (reason := EmbeddedKafka.available()) is not None:
        lacking("kafka", f"no real Kafka: {reason}")
    broker = EmbeddedKafka(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def promtool():
    """The path of promtool. Without Prometheus: skip, but fail under CI."""
    try:
        prometheus.find("prometheus")
        return str(prometheus.find("promtool"))
    except DependencyError as error:
        lacking("prometheus", str(error))


@pytest.fixture
def topic():
    """A topic name that nobody has used."""
    return f"images-{uuid.uuid4().hex[:12]}"
