"""A real Prometheus over live workers; the stages and workers are those of tests/integration."""

from pathlib import Path

import pytest
from loading import load_integration

ROOT = Path(__file__).parents[2]


_shared = load_integration()
valkey, make_stage, module_stage = _shared.valkey, _shared.make_stage, _shared.module_stage
stage, tools = _shared.stage, _shared.tools
pytest_runtest_makereport = _shared.pytest_runtest_makereport


@pytest.fixture(scope="session")
def chart():
    """The folder of the chart, where rules and dashboards are."""
    return ROOT / "helm" / "shoal"


@pytest.fixture
def worker_process():
    """Starts `shoal worker` with settings of the test's own; see tests/integration."""
    return _shared.process.WorkerProcess
