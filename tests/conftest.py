import os
import uuid

import pytest
from hypothesis import settings

from worker.embedded.kafka import EmbeddedKafka

# No test is decided by a clock: a machine may be busy.
settings.register_profile("shoal", deadline=None)
settings.load_profile("shoal")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    """One real broker for the whole run. Without Java or Maven: skip, but fail under CI."""
    if (reason := EmbeddedKafka.available()) is not None:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have a real Kafka: {reason}")
        pytest.skip(f"no real Kafka: {reason}")
    broker = EmbeddedKafka(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def topic():
    """A topic name that nobody has used."""
    return f"images-{uuid.uuid4().hex[:12]}"
