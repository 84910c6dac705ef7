"""Programs that tests need: without one a test is skipped, but fails under CI, which has it."""

import os

import pytest


def lacking(tool, reason):
    """Skip the test for `reason`. Under CI fail it, unless `SHOAL_WITHOUT_` the tool is set."""
    if os.environ.get("CI") and not os.environ.get(f"SHOAL_WITHOUT_{tool.upper()}"):
        pytest.fail(f"CI must have {tool}: {reason}")
    pytest.skip(reason)
