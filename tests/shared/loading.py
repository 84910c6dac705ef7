"""Files of the tests as modules: tests are no package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load(path: Path, name: str | None = None) -> ModuleType:
    """Run the file `path` as the module `name`, that of the file unless it is given."""
    spec = importlib.util.spec_from_file_location(name or path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def load_integration() -> ModuleType:
    """The fixtures and helpers of tests/integration, for tests elsewhere."""
    return load(Path(__file__).parents[1] / "integration" / "conftest.py", "integration_conftest")
