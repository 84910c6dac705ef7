"""Every object that comes out is one that Kubernetes takes."""

import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from jsonschema import ValidationError

ROOT = Path(__file__).parents[2]
KUBERNETES = "1.34"

SECURED = {
    "settings": {
        "kafka_bootstrap": "kafka-0.kafka:9093,kafka-1.kafka:9094",
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_mechanism": "SCRAM-SHA-512",
        "kafka_username": "shoal",
    },
    "kafka": {
        "sasl": {"secret": "kafka-user"},
        "tls": {
            "ca": {"secret": "kafka-ca"},
            "client": {"secret": "kafka-user", "certificateKey": "user.crt", "keyKey": "user.key"},
        },
    },
    "redis": {
        "secret": "redis",
        "tls": {"ca": {"secret": "redis-ca"}, "client": {"secret": "redis-user"}},
    },
}
PEER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
MATRIX = {
    "plain": {},
    "secured": SECURED,
    "gpu": {"gpu": {"enabled": True, "runtimeClassName": "nvidia", "nodeSelector": {"gpu": "a"}}},
    "followed": {"standby": {"enabled": True}},
    "several": {"workers": 12, "persistence": {"size": "1.5Ti", "storageClass": "fast"}},
    "watched": {
        "monitoring": {
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "rules": {
                "enabled": True,
                "labels": {"release": "prometheus"},
                "runbookUrl": "https://wiki.example/shoal",
            },
            "dashboards": {"enabled": True, "annotations": {"folder": "Shoal"}},
        }
    },
    "fenced": {
        "networkPolicy": {
            "scrapers": [PEER],
            "kafka": {"to": [PEER], "ports": [9094, 9095]},
            "redis": {"to": [PEER], "ports": [6380]},
            "extraEgress": [{"to": [PEER], "ports": [{"port": 4317, "protocol": "TCP"}]}],
        }
    },
    "bare": {
        "podDisruptionBudget": {"enabled": False},
        "serviceAccount": {"create": False},
        "networkPolicy": {"enabled": False},
    },
    "placed": {
        "image": {"tag": "1", "pullSecrets": [{"name": "registry"}]},
        "nameOverride": "groups",
        "fullnameOverride": "photo-groups",
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "photos"},
        "nodeSelector": {"disk": "nvme"},
        "tolerations": [{"key": "photos", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
        ],
        "priorityClassName": "high",
        "extraEnv": [{"name": "OTEL_SERVICE_NAME", "value": "shoal"}],
        "extraVolumes": [{"name": "weights", "configMap": {"name": "weights"}}],
        "extraVolumeMounts": [{"name": "weights", "mountPath": "/weights"}],
        "serviceAccount": {"name": "photos", "annotations": {"a": "b"}},
        "persistence": {"annotations": {"a": "b"}},
    },
}

each = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)


@each
def test_lint(helm, values):
    """`helm lint --strict` has nothing to say."""
    helm.lint(values)


@each
def test_kubernetes_takes_it(helm, operator, values):
    """Every object is valid, with no field that Kubernetes does not know."""
    objects = helm.template(values).objects
    assert objects
    for thing in objects:
        if thing["apiVersion"] == "monitoring.coreos.com/v1":
            operator[thing["kind"]].validate(thing)
        else:
            kubernetes_validate.validate(thing, KUBERNETES, strict=True)


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PrometheusRule"])
def test_the_operator_would_refuse_others(helm, operator, kind):
    """A field that is misspelt, or of another type, is found."""
    thing = helm.template(MATRIX["watched"])[kind]
    [first, *_] = thing["spec"]["endpoints" if kind == "ServiceMonitor" else "groups"]
    first["intervall"] = first.get("interval", "30s")
    with pytest.raises(ValidationError, match="intervall"):
        operator[kind].validate(thing)
    del first["intervall"]
    first["interval"] = 30
    with pytest.raises(ValidationError, match="30 is not of type 'string'"):
        operator[kind].validate(thing)


def test_prometheus_takes_the_rules_of_the_chart(helm, promtool, tmp_path):
    """`promtool check rules` has nothing against what the PrometheusRule holds."""
    rule = helm.template(MATRIX["watched"])["PrometheusRule"]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rule["spec"]))
    command = [promtool, "check", "rules", "--lint=all", "--lint-fatal", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


@each
def test_labels_and_names(helm, values):
    """Objects share a name and labels, and select the pods and nothing else."""
    rendered = helm.template(values)
    name = values.get("fullnameOverride", "shoal")
    selector = dict(rendered["StatefulSet"]["spec"]["selector"]["matchLabels"])
    assert selector.pop("app.kubernetes.io/component") == "worker"
    pods = rendered["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= pods.items()
    for thing in rendered.objects:
        assert thing["metadata"]["name"].startswith((name, "photos"))
        assert selector.items() <= thing["metadata"]["labels"].items()
    assert rendered["Service"]["spec"]["selector"] == selector


def test_a_long_name_is_cut(helm):
    """A StatefulSet's pods carry its name and a hash as one label, of 63 characters."""
    rendered = helm.template({"standby": {"enabled": True}}, release="a" * 53)
    sets = [thing for thing in rendered.objects if thing["kind"] == "StatefulSet"]
    assert len(sets) == 2
    assert all(len(thing["metadata"]["name"]) <= 52 for thing in sets)
    assert rendered["StatefulSet"]["spec"]["serviceName"] == rendered["Service"]["metadata"]["name"]


def test_every_switch_is_tried():
    """The matrix turns each switch of values.yaml."""
    values = yaml.safe_load((ROOT / "helm/shoal/values.yaml").read_text())
    switches = {name for name, value in _flat(values) if isinstance(value, bool)}
    security = {name for name in switches if "ecurityContext" in name}
    tried = {name for values in MATRIX.values() for name, _ in _flat(values)}
    assert switches - security <= tried


def _flat(values, above=""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
