"""The servers, stages and helpers of the integration tests, for killing."""

from loading import load_integration

_integration = load_integration()

make_stage = _integration.make_stage
own_valkey = _integration.own_valkey
own_kafka = _integration.own_kafka
tools = _integration.tools
pytest_runtest_makereport = _integration.pytest_runtest_makereport
