"""What the chart puts into the environment is what the worker reads."""

import json
import re
from pathlib import Path

import pytest
import yaml

from worker.settings import ENV_PREFIX, OTHER_VARIABLES, Settings, load, unknown_variables
from worker.store.connection import connect

ROOT = Path(__file__).parents[2]

# One value for each setting that is a value of the chart, other than its default.
OF_KIND = {"integer": 77, "number": 1.5, "boolean": True, "array": ["/a.npy", "/b.npy"]}
TEXTS = {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "SCRAM-SHA-256"}
SECRETS = {
    "kafka": {
        "sasl": {"secret": "s"},
        "tls": {"ca": {"secret": "s"}, "client": {"secret": "s"}},
    },
    "redis": {"secret": "s"},
}


@pytest.fixture(scope="module")
def settings():
    """The schema of `settings` in the chart."""
    schema = json.loads((ROOT / "helm/shoal/values.schema.json").read_text())
    return schema["properties"]["settings"]["properties"]


def _example(name, schema):
    if name in TEXTS:
        return TEXTS[name]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    value = OF_KIND.get(kind, "text")
    if "exclusiveMaximum" in schema or "maximum" in schema:
        value = min(value, schema.get("maximum", schema.get("exclusiveMaximum", 0) / 2))
    return max(value, schema.get("minimum", value)) if kind in {"integer", "number"} else value


def test_the_chart_sets_nothing_that_the_worker_does_not_read(plain, helm):
    """Every variable of the chart is a setting."""
    for rendered in (plain, helm.template(SECRETS | {"settings": TEXTS | {"kafka_username": "u"}})):
        ours = {name: "" for name in rendered.environment if name.startswith(ENV_PREFIX)}
        assert unknown_variables(ours) == []
        assert not set(ours) & OTHER_VARIABLES
        assert len(ours) == len(rendered.environment)


def test_every_setting_can_be_set(helm, settings):
    """And what arrives in the environment is the value: no exponents, lists by commas."""
    values = {name: _example(name, schema) for name, schema in settings.items()}
    rendered = helm.template(SECRETS | {"settings": values, "standby": {"enabled": True}})
    names = {f"{ENV_PREFIX}{name}".upper() for name in Settings.model_fields}
    assert set(rendered.environment) == names
    for name, value in values.items():
        text = rendered.environment[f"{ENV_PREFIX}{name}".upper()]
        assert text == (",".join(value) if isinstance(value, list) else _text(value))


def test_the_worker_takes_the_plain_environment(plain, monkeypatch):
    """With its own values the chart starts a worker whose settings can work."""
    for name, value in plain.environment.items():
        monkeypatch.setenv(name, value if isinstance(value, str) else "0")
    loaded = load({})
    assert loaded.http_host == "0.0.0.0"
    assert str(loaded.data_dir) == "/data"
    assert loaded.memory_bytes == 3 * 2**30


@pytest.mark.parametrize(
    ("name", "value"),
    [("memory_bytes", 2**33), ("memory_bytes", 2**53), ("join_probability", 1e-9)],
)
def test_numbers_keep_their_value(helm, name, value):
    """Helm reads every number as a float; the worker reads what was meant."""
    text = helm.template({"settings": {name: value}}).environment[f"{ENV_PREFIX}{name}".upper()]
    assert getattr(load({name: text}), name) == value


def test_the_readme_shows_what_works(helm):
    """Its values render, with certificates where its Redis URL looks for them."""
    readme = (ROOT / "helm/shoal/README.md").read_text()
    examples = [
        yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    ]
    assert len(examples) == 3
    rendered = [helm.template(values) for values in examples]
    mounts = {m["name"]: m["mountPath"] for m in rendered[1].worker["volumeMounts"]}
    [url] = re.findall(r"url='(rediss://\S+)'", readme)
    options = connect(url).connection_pool.connection_kwargs
    assert options["username"] == "shoal"
    assert options["ssl_ca_certs"] == f"{mounts['redis-tls']}/ca.crt"


def test_the_image_sets_only_settings():
    """What the Dockerfile puts into the environment is a setting, too."""
    text = (ROOT / "Dockerfile").read_text()
    named = dict.fromkeys(re.findall(rf"\b({ENV_PREFIX}\w+)=", text), "")
    assert len(named) >= 4
    assert unknown_variables(named) == []


def _text(value):
    return json.dumps(value) if not isinstance(value, str) else value
