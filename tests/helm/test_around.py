"""What stands around the worker: disruption, network, monitoring, and what is left out."""

import json

import pytest
import yaml


def test_one_worker_at_a_time(plain):
    """A drain takes one worker, also the only one, and one that is not ready at any time."""
    spec = plain["PodDisruptionBudget"]["spec"]
    assert spec["maxUnavailable"] == 1
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_a_headless_service(plain):
    """It names the pods, also those that are not ready: they are scraped."""
    spec = plain["Service"]["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True
    assert [port["name"] for port in spec["ports"]] == ["metrics"]
    assert plain["StatefulSet"]["spec"]["serviceName"] == plain["Service"]["metadata"]["name"]


def test_network(helm):
    """Metrics are all that can be reached; out go names, brokers and Redis, each to its port."""
    rendered = helm.template({"settings": {"kafka_bootstrap": "a:9093, b:9093,c:19092"}})
    spec = rendered["NetworkPolicy"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"ports": [{"port": "metrics", "protocol": "TCP"}]}]
    reached = [[port["port"] for port in rule["ports"]] for rule in spec["egress"]]
    assert reached == [[53, 53], [9093, 19092], [6379]]


def test_network_to_peers(helm):
    """Peers narrow each of the three."""
    peer = {"podSelector": {"matchLabels": {"app": "x"}}}
    policy = {
        "scrapers": [peer],
        "kafka": {"to": [peer], "ports": [9094]},
        "redis": {"to": [peer], "ports": [6380]},
        "extraEgress": [{"to": [peer]}],
    }
    spec = helm.template({"networkPolicy": policy})["NetworkPolicy"]["spec"]
    assert spec["ingress"][0]["from"] == [peer]
    names, kafka, redis, more = spec["egress"]
    assert "to" not in names
    assert kafka == {"to": [peer], "ports": [{"port": 9094, "protocol": "TCP"}]}
    assert redis == {"to": [peer], "ports": [{"port": 6380, "protocol": "TCP"}]}
    assert more == {"to": [peer]}


def test_a_service_monitor(helm):
    """It selects the Service and its port, with the labels that Prometheus asks for."""
    on = {"enabled": True, "interval": "10s", "labels": {"release": "prometheus"}}
    rendered = helm.template({"monitoring": {"serviceMonitor": on}})
    monitor = rendered["ServiceMonitor"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    [endpoint] = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["interval"]) == ("metrics", "10s")
    labels = rendered["Service"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()


@pytest.fixture
def filled(helm):
    """A copy of the chart with rules and a dashboard whose text looks like templates."""
    chart = helm.copy()
    for folder in ("rules", "dashboards"):
        (chart / folder).mkdir(exist_ok=True)
    for number in (1, 2):
        alert = {"alert": f"A{number}", "expr": "up == 0", "annotations": {"s": "{{ $value }}"}}
        groups = {"groups": [{"name": f"g{number}", "rules": [alert]}]}
        (chart / f"rules/zz-{number}.yaml").write_text(yaml.safe_dump(groups))
    (chart / "dashboards/zz.json").write_text('{"title": "{{ job }}"}')
    return chart


def test_rules(helm, filled):
    """The groups of every file under rules/, as they stand there."""
    on = {"enabled": True, "labels": {"release": "prometheus"}}
    rule = helm.template({"monitoring": {"rules": on}}, chart=filled)["PrometheusRule"]
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    files = sorted((filled / "rules").glob("*.yaml"))
    expected = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    assert rule["spec"]["groups"] == expected
    assert rule["spec"]["groups"][-1]["rules"][0]["annotations"]["s"] == "{{ $value }}"


def test_the_runbook_of_an_alert(helm):
    """Its link leads where the values say, and by default names the file of the repository."""
    before, after = "docs/runbook.md", "https://wiki.example/x?page=runbook:1"

    def links(**values):
        rule = helm.template({"monitoring": {"rules": {"enabled": True, **values}}})
        groups = rule["PrometheusRule"]["spec"]["groups"]
        return [alert["annotations"]["runbook_url"] for g in groups for alert in g["rules"]]

    assert len(links()) > 20
    assert all(link.startswith(f"{before}#shoal") for link in links())
    assert links(runbookUrl=after) == [link.replace(before, after) for link in links()]


@pytest.mark.parametrize("url", ["", "https://wiki.example/#shoal", "two words", "{x}"])
def test_a_runbook_that_cannot_be_linked_to(helm, refused, url):
    """An alert adds the mark of its own entry."""
    with pytest.raises(refused, match="runbookUrl"):
        helm.template({"monitoring": {"rules": {"enabled": True, "runbookUrl": url}}})


def test_dashboards(helm, filled):
    """Every file under dashboards/, as it stands there, with the label of Grafana's sidecar."""
    rendered = helm.template({"monitoring": {"dashboards": {"enabled": True}}}, chart=filled)
    assert rendered["ConfigMap"]["metadata"]["labels"]["grafana_dashboard"] == "1"
    files = (filled / "dashboards").glob("*.json")
    assert rendered["ConfigMap"]["data"] == {file.name: file.read_text() for file in files}
    assert json.loads(rendered["ConfigMap"]["data"]["zz.json"]) == {"title": "{{ job }}"}


def test_nothing_of_an_operator_unasked(plain):
    """Without the Prometheus operator the chart installs."""
    kinds = {thing["kind"] for thing in plain.objects}
    assert kinds == {
        "StatefulSet",
        "Service",
        "ServiceAccount",
        "PodDisruptionBudget",
        "NetworkPolicy",
    }


def test_notes(helm):
    """They name the topic, the first pod and what is not watched."""
    notes = helm.notes({"workers": 3, "settings": {"kafka_topic": "photos"}})
    assert "3 workers of Shoal: topic photos" in notes
    assert "exec shoal-0 -- shoal status --all" in notes
    assert "monitoring.serviceMonitor.enabled" in notes
    watched = helm.notes({"monitoring": {"serviceMonitor": {"enabled": True}}})
    assert "monitoring.serviceMonitor.enabled" not in watched
