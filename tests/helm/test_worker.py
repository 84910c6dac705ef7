"""The worker's pod, point by point."""

import pytest

SASL = {
    "kafka_security_protocol": "SASL_SSL",
    "kafka_sasl_mechanism": "SCRAM-SHA-512",
    "kafka_username": "shoal",
}


def test_the_pod_number_is_the_share(helm):
    """Pod N of `workers` takes partitions % workers == N."""
    rendered = helm.template({"workers": 5})
    assert rendered["StatefulSet"]["spec"]["replicas"] == 5
    assert rendered.environment["SHOAL_WORKER_COUNT"] == "5"
    path = rendered.environment["SHOAL_WORKER_ORDINAL"]["fieldRef"]["fieldPath"]
    assert path == "metadata.labels['apps.kubernetes.io/pod-index']"


def test_standby(helm):
    """Each worker has a second one, of the same share and with a volume of its own; either may
    stand by, and no pod belongs to both sets.
    """
    rendered = helm.template({"workers": 3, "standby": {"enabled": True}})
    sets = [thing for thing in rendered.objects if thing["kind"] == "StatefulSet"]
    assert [s["spec"]["replicas"] for s in sets] == [3, 3]
    first, second = (s["metadata"]["name"] for s in sets)
    assert second == f"{first}-standby"
    selectors = [s["spec"]["selector"]["matchLabels"] for s in sets]
    assert selectors[0] != selectors[1]
    for one, selector in zip(sets, selectors, strict=True):
        template = one["spec"]["template"]
        assert selector.items() <= template["metadata"]["labels"].items()
        variables = {v["name"]: v for v in template["spec"]["containers"][0]["env"]}
        assert variables["SHOAL_STANDBY"]["value"] == "true"
        assert variables["SHOAL_WORKER_COUNT"]["value"] == "3"
        assert one["spec"]["volumeClaimTemplates"]
    for budget in (thing for thing in rendered.objects if thing["kind"] == "PodDisruptionBudget"):
        chosen = budget["spec"]["selector"]["matchLabels"].items()
        assert all(chosen <= s["spec"]["template"]["metadata"]["labels"].items() for s in sets)


def test_each_worker_has_a_volume_that_stays(helm):
    """The data directory is a claim of the pod, kept when workers or the release go."""
    spec = helm.template({"persistence": {"size": "7Gi", "storageClass": "fast"}})["StatefulSet"][
        "spec"
    ]
    [claim] = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "7Gi"
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    kept = spec["persistentVolumeClaimRetentionPolicy"]
    assert kept == {"whenDeleted": "Retain", "whenScaled": "Retain"}


def test_data_and_tmp_are_all_that_can_be_written(plain):
    """The root is read-only; data is the volume, /tmp is of the pod and bounded."""
    assert plain.worker["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["name"]: mount["mountPath"] for mount in plain.worker["volumeMounts"]}
    assert mounts == {"data": "/data", "tmp": "/tmp"}
    assert plain.environment["SHOAL_DATA_DIR"] == "/data"
    assert plain.pod["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]


def test_no_rights(plain):
    """Neither root nor capabilities nor system calls beyond the runtime's, and no token."""
    pod, container = plain.pod["securityContext"], plain.worker["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] > 0
    assert pod["fsGroup"] > 0
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert plain.pod["automountServiceAccountToken"] is False
    assert plain["ServiceAccount"]["automountServiceAccountToken"] is False
    assert plain.pod["serviceAccountName"] == plain["ServiceAccount"]["metadata"]["name"]


def test_probes(plain):
    """A replay has two hours; until it is done nothing calls the worker dead or ready."""
    start = plain.worker["startupProbe"]
    assert start["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert start["periodSeconds"] * start["failureThreshold"] >= 7_200
    assert plain.worker["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert plain.worker["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert plain.worker["ports"] == [{"name": "metrics", "containerPort": 9108}]
    assert plain.environment["SHOAL_HTTP_PORT"] == "9108"
    assert plain.environment["SHOAL_HTTP_HOST"] == "0.0.0.0"


def test_probes_can_be_set(helm):
    """One number changes, the others stay."""
    start = helm.template({"startupProbe": {"failureThreshold": 9000}}).worker["startupProbe"]
    assert (start["failureThreshold"], start["periodSeconds"]) == (9000, 10)


def test_grace(plain, helm):
    """Time for the last snapshots: more than the 30 seconds that Kubernetes gives."""
    assert plain.pod["terminationGracePeriodSeconds"] == 900
    more = helm.template({"terminationGracePeriodSeconds": 3600})
    assert more.pod["terminationGracePeriodSeconds"] == 3600


def test_passwords_come_from_secrets(helm):
    """Kafka's password and the Redis URL are references; no secret is rendered."""
    rendered = helm.template(
        {
            "settings": SASL,
            "kafka": {"sasl": {"secret": "kafka-user", "passwordKey": "pw"}},
            "redis": {"secret": "redis", "urlKey": "address"},
        }
    )
    assert rendered.environment["SHOAL_KAFKA_PASSWORD"] == {
        "secretKeyRef": {"name": "kafka-user", "key": "pw"}
    }
    assert rendered.environment["SHOAL_REDIS_URL"] == {
        "secretKeyRef": {"name": "redis", "key": "address"}
    }
    assert rendered.environment["SHOAL_KAFKA_USERNAME"] == "shoal"
    assert "Secret" not in rendered


def test_the_user_may_come_from_the_secret(helm):
    """Where the Secret has the user as well."""
    settings = SASL | {"kafka_username": None}
    kafka = {"sasl": {"secret": "kafka-user", "usernameKey": "user"}}
    rendered = helm.template({"settings": settings, "kafka": kafka})
    assert rendered.environment["SHOAL_KAFKA_USERNAME"] == {
        "secretKeyRef": {"name": "kafka-user", "key": "user"}
    }


def test_certificates_are_mounted(helm):
    """From one Secret or two, under the names that the worker is told."""
    tls = {
        "ca": {"secret": "cluster-ca"},
        "client": {"secret": "user", "certificateKey": "user.crt", "keyKey": "user.key"},
    }
    rendered = helm.template(
        {"settings": {"kafka_security_protocol": "SSL"}, "kafka": {"tls": tls}}
    )
    assert rendered.environment["SHOAL_KAFKA_CA_FILE"] == "/etc/shoal/kafka/ca.crt"
    assert rendered.environment["SHOAL_KAFKA_CERTIFICATE_FILE"] == "/etc/shoal/kafka/tls.crt"
    assert rendered.environment["SHOAL_KAFKA_KEY_FILE"] == "/etc/shoal/kafka/tls.key"
    mounts = {mount["name"]: mount for mount in rendered.worker["volumeMounts"]}
    assert mounts["kafka-tls"]["mountPath"] == "/etc/shoal/kafka"
    assert mounts["kafka-tls"]["readOnly"] is True
    [volume] = [v for v in rendered.pod["volumes"] if v["name"] == "kafka-tls"]
    items = [
        (source["secret"]["name"], item["key"], item["path"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    ]
    assert items == [
        ("cluster-ca", "ca.crt", "ca.crt"),
        ("user", "user.crt", "tls.crt"),
        ("user", "user.key", "tls.key"),
    ]


def test_redis_over_tls(helm):
    """Its certificates are files that the URL of the Secret can name."""
    rendered = helm.template({"redis": {"secret": "r", "tls": {"ca": {"secret": "redis-ca"}}}})
    mounts = {mount["name"]: mount["mountPath"] for mount in rendered.worker["volumeMounts"]}
    assert mounts["redis-tls"] == "/etc/shoal/redis"


def test_gpu(helm, plain):
    """A GPU on a node that has one, and the image that can use it."""
    rendered = helm.template(
        {
            "gpu": {"enabled": True, "runtimeClassName": "nvidia", "nodeSelector": {"gpu": "a100"}},
            "nodeSelector": {"disk": "nvme"},
            "tolerations": [{"key": "photos", "operator": "Exists"}],
        }
    )
    assert rendered.worker["resources"]["limits"] == {"memory": "8Gi", "nvidia.com/gpu": 1}
    assert rendered.worker["image"] == "shoal:0.1.0-cuda"
    assert rendered.pod["nodeSelector"] == {"disk": "nvme", "gpu": "a100"}
    assert [t["key"] for t in rendered.pod["tolerations"]] == ["nvidia.com/gpu", "photos"]
    assert rendered.pod["runtimeClassName"] == "nvidia"
    assert "nvidia.com/gpu" not in plain.worker["resources"]["limits"]
    assert plain.worker["image"] == "shoal:0.1.0"
    assert "tolerations" not in plain.pod
    assert "nodeSelector" not in plain.pod


def test_gpu_selectors_without_a_gpu(helm):
    """Labels of GPU nodes have no effect while no GPU is asked for."""
    rendered = helm.template({"gpu": {"nodeSelector": {"gpu": "a100"}}})
    assert "nodeSelector" not in rendered.pod


@pytest.mark.parametrize(
    ("values", "threads"),
    [
        ({}, None),
        (
            {"resources": {"limits": {"cpu": "4"}}},
            {"resourceFieldRef": {"resource": "limits.cpu"}},
        ),
        ({"resources": {"limits": {"cpu": "4"}}, "settings": {"threads": 3}}, "3"),
    ],
)
def test_threads(helm, values, threads):
    """A limit on the processor bounds the threads, which otherwise are those of the whole node."""
    assert helm.template(values).environment.get("SHOAL_THREADS") == threads


def test_memory_is_bounded_below_the_limit(plain):
    """Open collections leave half of the pod's memory to a run and a snapshot."""
    assert plain.worker["resources"]["limits"]["memory"] == "8Gi"
    assert int(plain.environment["SHOAL_MEMORY_BYTES"]) <= 4 * 2**30


def test_a_change_of_a_setting_starts_workers_anew(helm, plain):
    """Settings stand in the pod's own template."""
    changed = helm.template({"settings": {"recluster_images": 5}})
    before, after = (r["StatefulSet"]["spec"]["template"] for r in (plain, changed))
    assert before != after
