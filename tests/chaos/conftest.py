"""The servers, stages and helpers of the integration tests, for killing."""

import importlib.util
import sys
from pathlib import Path

_PATH = Path(__file__).parents[1] / "integration" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("integration_conftest", _PATH)
_integration = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _integration
_SPEC.loader.exec_module(_integration)

make_stage = _integration.make_stage
own_valkey = _integration.own_valkey
own_kafka = _integration.own_kafka
tools = _integration.tools
pytest_runtest_makereport = _integration.pytest_runtest_makereport
