"""The chart as `helm template` renders it."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft4Validator
from needed import lacking

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "shoal"
KUBERNETES = "1.34.0"


class Rendered:
    """The objects of one rendering, by kind."""

    def __init__(self, text):
        self.objects = [thing for thing in yaml.safe_load_all(text) if thing]

    def __getitem__(self, kind):
        """The one object of this kind; of StatefulSets the first, which is no standby's."""
        thing, *others = [thing for thing in self.objects if thing["kind"] == kind]
        assert kind == "StatefulSet" or not others
        return thing

    def __contains__(self, kind):
        return any(thing["kind"] == kind for thing in self.objects)

    @property
    def pod(self):
        """Spec of the worker's pod."""
        return self["StatefulSet"]["spec"]["template"]["spec"]

    @property
    def worker(self):
        """The worker's container."""
        [container] = self.pod["containers"]
        return container

    @property
    def environment(self):
        """The worker's environment: text, or where it comes from."""
        return {v["name"]: v.get("value", v.get("valueFrom")) for v in self.worker["env"]}


class Refused(Exception):  # noqa: N818  what helm said, not a defect
    """Helm would not render."""


class Helm:
    """Runs helm on the chart, or on a copy of it."""

    def __init__(self, program, folder):
        self._program, self._folder = program, folder
        self._calls = 0

    def lint(self, values):
        """Lint; raises `Refused`."""
        self._run("lint", str(CHART), "--strict", values=values)

    def template(self, values=None, *, chart=CHART, release="shoal"):
        """What would be installed; raises `Refused` with what helm says."""
        return Rendered(self._run("template", release, str(chart), values=values or {}))

    def notes(self, values=None):
        """What helm prints after an installation, which `helm template` leaves out."""
        chart = self.copy()
        notes = (chart / "templates/NOTES.txt").read_text()
        (chart / "templates/notes.yaml").write_text(
            f'{{{{ define "notes" }}}}{notes}{{{{ end }}}}\n'
            'kind: Notes\ntext: {{ include "notes" . | quote }}\n'
        )
        return self.template(values, chart=chart)["Notes"]["text"]

    def copy(self):
        """A copy of the chart, to put files into."""
        self._calls += 1
        return Path(shutil.copytree(CHART, self._folder / f"chart-{self._calls}"))

    def _run(self, *arguments, values):
        self._calls += 1
        file = self._folder / f"values-{self._calls}.yaml"
        file.write_text(yaml.safe_dump(values))
        command = [self._program, *arguments, "--values", str(file), "--kube-version", KUBERNETES]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(done.stdout + done.stderr)
        return done.stdout


@pytest.fixture(scope="session")
def helm(tmp_path_factory):
    """Helm 3. Where it is missing: skip with how to get it, but fail under CI."""
    ours = ROOT / ".tools" / "helm"
    program = str(ours) if ours.exists() else shutil.which("helm")
    if program is None:
        lacking("helm", "no helm: `make tools` installs it, and needs Go")
    return Helm(program, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def operator():
    """What validates the objects of the Prometheus operator, by kind, down to unknown fields."""
    found = {}
    for path in (Path(__file__).parent / "crds").glob("*.yaml"):
        spec = yaml.safe_load(path.read_text())["spec"]
        [version] = spec["versions"]
        schema = _closed(version["schema"]["openAPIV3Schema"])
        found[spec["names"]["kind"]] = Draft4Validator(schema)
    return found


def _closed(schema):
    """A schema of Kubernetes as one that refuses what it does not name, as the API server does."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed["additionalProperties"] = False
    return closed


@pytest.fixture(scope="session")
def plain(helm):
    """The chart with its own values."""
    return helm.template()


@pytest.fixture(scope="session")
def refused():
    """The exception of a rendering that helm refuses."""
    return Refused
