"""No password in a log line, an error, a page or Redis; no server that cannot show who it is."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from worker.store.keys import Keys


def forms(secrets):
    """The ways in which a secret may be written: as it is, within a URL, within JSON."""
    return {form for secret in secrets for form in (secret, quote(secret, ""), json.dumps(secret))}


def assert_kept(stage, *texts):
    """None of the texts has a password of the stage's account."""
    for text in texts:
        found = [form for form in forms(stage.account.secrets) if form in text]
        assert not found, text


def everything_in_redis(stage, acl, collection="main"):
    """The keys and values of a collection, as text."""
    server, tag = stage.valkey, Keys(stage.name, collection).tag
    read = {"string": "GET", "hash": "HGETALL", "set": "SMEMBERS", "stream": "XRANGE {} - +"}
    read["zset"] = "ZRANGE {} 0 -1"
    texts = []
    for key in acl.ask(server, "KEYS", f"{tag}*"):
        kind = acl.ask(server, "TYPE", key)
        command = read[kind] if "{}" in read[kind] else f"{read[kind]} {{}}"
        texts.append(f"{key} {acl.ask(server, *(w.format(key) for w in command.split()))}")
    assert texts
    return texts


def everything_on_disk(folder):
    """Every file below a folder, as text."""
    return [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]


def test_nothing_tells_them(secure, acl, tools):
    """A worker at work, one that is asked everything, and one that fails tell no password."""
    secure.create_topic()
    secure.grant()
    stream = tools.eventful()
    secure.send(stream)
    worker = secure.start(
        log_level="debug", log_format="json", recluster_first_images=100, erasure_seconds=1
    ).ready()
    secure.published(stream)
    tools.eventually(lambda: secure.client.summary("main").generation)
    status, _ = secure.shoal("status", "--all", "--json", redis_url=secure.valkey.url)
    assert "main" in status.stdout
    pages = [worker.ask(path)[1] for path in ("/metrics", "/healthz", "/readyz", "/", "/config")]
    assert_kept(secure, status.stdout, status.stderr, *pages, *everything_in_redis(secure, acl))
    assert worker.stop() == 0
    assert_kept(secure, worker.text(), *everything_on_disk(secure.data_dir))


@pytest.mark.parametrize(
    "settings",
    [
        {"kafka_security_protocol": "SSL"},
        {"http_port": "70000"},
        {"redis_url": "rediss://u:redis-hunter2-Bq9@127.0.0.1:port/0"},
        {"redis_url": "http://u:redis-hunter2-Bq9@127.0.0.1:1/0"},
        {"backup_url": "s3://key:redis-hunter2-Bq9@bucket"},
        {"backup_url": "s3://key:redis-hunter2/Bq9@bucket/folder"},
    ],
)
def test_errors(secure, settings):
    """A worker that ends with an error says what is wrong without a password."""
    secure.create_topic()
    secure.grant()
    worker = secure.start(**settings, log_level="debug")
    assert worker.wait() == 2
    assert re.search(r"^shoal: .", worker.text(), re.MULTILINE)
    assert "hunter2" not in worker.text()


@pytest.mark.parametrize("command", ["backups", "restore", "backup", "doctor"])
def test_a_password_in_the_place_of_backups(secure, command):
    """Commands that are given one refuse it, and do not repeat it."""
    secure.folder.mkdir(parents=True)
    url = "s3://key:redis-hunter2/Bq9@bucket"
    given = {"backup_url": url} if command in {"backup", "doctor"} else {}
    done, _ = secure.shoal(command, *([] if given else [url]), **given)
    assert done.returncode == 2
    assert "backup_url: 's3://***@bucket': must hold no user or password" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_wrong_passwords(secure, tools):
    """A worker with wrong passwords says that they are refused, not what they are, and goes on."""
    secure.create_topic()
    secure.grant()
    worker = secure.start(
        redis_url=secure.settings["redis_url"].replace("hunter2", "hunter2-wrong"),
        kafka_password="kafka-hunter2-wrong",
        log_level="debug",
    )
    tools.eventually(lambda: "invalid username-password pair" in worker.text())
    tools.eventually(lambda: "SaslAuthenticationFailedError" in worker.text(), 90)
    worker.kill()
    assert "hunter2" not in worker.text()


def test_defects(secure, tmp_path):
    """An error that nobody thought of shows no password either: tracebacks have no values."""
    (tmp_path / "broken.py").write_text(
        "from worker import compose\n"
        "def fail(settings, *rest, **more):\n"
        "    password = settings.kafka_password.get_secret_value()\n"
        "    raise RuntimeError(f'a defect of {len(password)}')\n"
        "compose.make_worker = fail\n"
        "from worker.cli import main\n"
        "main()\n"
    )
    worker = secure.start((str(tmp_path / "broken.py"),))
    assert worker.wait() == 1
    assert "RuntimeError: a defect of" in worker.text()
    assert_kept(secure, worker.text())


def test_who_may_ask(secure):
    """Metrics and health are to be had on this machine alone, unless told otherwise."""
    secure.create_topic()
    secure.grant()
    worker = secure.start().ready()
    port = f":{int(worker.address.rpartition(':')[2]):04X}"
    sockets = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert {address for address in sockets if address.endswith(port)} == {f"0100007F{port}"}


def test_servers_of_another_authority(secure, tools, make_authority):
    """A worker does not talk to servers whose certificates its authority did not sign."""
    secure.create_topic()
    secure.grant()
    other = make_authority()
    url = secure.settings["redis_url"]
    mine = re.search(r"ssl_ca_certs=(.*)", url)[1]
    worker = secure.start(redis_url=url.replace(mine, str(other.ca_crt)))
    tools.eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in worker.text())
    worker.kill()
    assert "published" not in worker.text()
    worker = secure.start(kafka_ca_file=other.ca_crt, log_level="debug")
    tools.eventually(lambda: "the source cannot be reached" in worker.text(), 60)
    assert "serving" not in worker.text()
    assert secure.client.summary("main") is None
