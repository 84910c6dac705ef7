"""Values that cannot work are refused before anything is installed, by name."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SASL = {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "PLAIN"}


def _leaves(values, path=()):
    for name, value in values.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))


VALUES = yaml.safe_load((ROOT / "helm/shoal/values.yaml").read_text())

# Kubernetes's own fields, and labels of the user's choice.
FREE = {"podSecurityContext", "securityContext", "limits", "requests", "labels"}
CHECKED = [path for path in _leaves(VALUES) if not FREE.intersection(path[:-1])]


@pytest.mark.parametrize("path", CHECKED, ids=".".join)
def test_a_misspelt_value_is_refused(helm, refused, path):
    """Each value of the chart, at every depth, with a letter more."""
    wrong = f"{path[-1]}x"
    values = {wrong: 1}
    for name in reversed(path[:-1]):
        values = {name: values}
    with pytest.raises(refused, match=f"'{wrong}' not allowed"):
        helm.template(values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"workers": 0}, "workers"),
        ({"workers": "three"}, "workers"),
        ({"settings": {"granularity": "person"}}, "granularity"),
        ({"settings": {"neighbours": 300}}, "neighbours"),
        ({"settings": {"join_probability": 1}}, "join_probability"),
        ({"settings": {"collection": "a b"}}, "collection"),
        ({"settings": {"worker_ordinal": 1}}, "worker_ordinal"),
        ({"settings": {"data_dir": "/elsewhere"}}, "data_dir"),
        ({"settings": {"redis_url": "redis://r:6379/0"}}, "redis_url"),
        ({"settings": {"kafka_password": "p"}}, "kafka_password"),
        ({"redis": {"url": "redis://:p@r:6379/0"}}, "redis/url"),
        ({"redis": {"url": "r:6379"}}, "redis/url"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"persistence": {"size": "20 GB"}}, "size"),
        ({"persistence": {"accessMode": "ReadWriteMany"}}, "accessMode"),
        ({"terminationGracePeriodSeconds": 5}, "terminationGracePeriodSeconds"),
        ({"networkPolicy": {"redis": {"ports": [0]}}}, "ports"),
        ({"podAnnotations": {"a": 1}}, "podAnnotations"),
    ],
)
def test_a_value_that_cannot_be_is_refused(helm, refused, values, said):
    """Wrong types, numbers beyond what the worker allows, passwords, what the chart decides."""
    with pytest.raises(refused, match=said):
        helm.template(values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"settings": SASL}, "kafka.sasl.secret: missing"),
        ({"kafka": {"sasl": {"secret": "s"}}}, "kafka.sasl.secret: has no use"),
        (
            {"settings": SASL, "kafka": {"sasl": {"secret": "s"}}},
            "kafka_username or kafka.sasl.usernameKey",
        ),
        (
            {
                "settings": SASL | {"kafka_username": "u"},
                "kafka": {"sasl": {"secret": "s", "usernameKey": "k"}},
            },
            "kafka_username and kafka.sasl.usernameKey",
        ),
        (
            {
                "settings": {"kafka_security_protocol": "SASL_SSL", "kafka_username": "u"},
                "kafka": {"sasl": {"secret": "s"}},
            },
            "kafka_sasl_mechanism: missing",
        ),
        ({"kafka": {"tls": {"ca": {"secret": "s"}}}}, "kafka.tls.ca.secret: has no use"),
        ({"kafka": {"tls": {"client": {"secret": "s"}}}}, "kafka.tls.client.secret: has no use"),
    ],
)
def test_values_that_do_not_go_together(helm, refused, values, said):
    """As the worker would say, but before it starts."""
    with pytest.raises(refused, match=said):
        helm.template(values)


def test_schema_and_readme_are_up_to_date():
    """Settings in the schema, and the tables of the README: else `make docs`."""
    done = subprocess.run(
        [sys.executable, ROOT / "helm/reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_chart_is_of_this_version():
    """The image that the chart asks for is that of the package."""
    chart = yaml.safe_load((ROOT / "helm/shoal/Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]
