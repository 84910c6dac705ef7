"""Kafka with TLS, SCRAM and ACLs, and Redis with TLS and ACLs: real ones, with our certificates."""

import re
import shlex
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from kafka.admin import KafkaAdminClient, ScramMechanism, UserScramCredentialUpsertion
from loading import load_integration
from needed import lacking

from worker.embedded.kafka import EmbeddedKafka
from worker.embedded.server import free_port, free_ports
from worker.embedded.valkey import EmbeddedValkey
from worker.sources.kafka_client import client_options

ROOT = Path(__file__).parents[2]
RIGHTS = (ROOT / "SECURITY.md").read_text("utf-8")
FETCHED = ROOT / ".tools" / "redis" / "usr"


_shared = load_integration()
tools, pytest_runtest_makereport = _shared.tools, _shared.pytest_runtest_makereport


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder, and what it signed for a server at 127.0.0.1."""

    folder: Path

    @classmethod
    def make(cls, folder):
        """Make the authority, and a certificate and key of a server, with openssl."""
        folder.mkdir()
        self = cls(folder)
        new = "req -x509 -newkey rsa:2048 -nodes -days 2"
        self._openssl(f"{new} -subj /CN=authority -keyout ca.key -out ca.crt")
        self._openssl(
            f"{new} -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
            " -addext basicConstraints=critical,CA:FALSE"
            " -CA ca.crt -CAkey ca.key -keyout server.key -out server.crt"
        )
        (folder / "server.pem").write_text(
            (folder / "server.key").read_text() + (folder / "server.crt").read_text()
        )
        return self

    def _openssl(self, command):
        subprocess.run(
            ["openssl", *command.split()], cwd=self.folder, check=True, capture_output=True
        )

    def __getattr__(self, name):
        """`ca_crt`, `server_key` and so on: the files."""
        return self.folder / name.replace("_", ".")


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Who signed the certificates of the servers."""
    if shutil.which("openssl") is None:
        lacking("openssl", "it is not installed")
    return Authority.make(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture
def make_authority(tmp_path):
    """Makes another authority."""
    return lambda: Authority.make(tmp_path / "other")


class SecureKafka(EmbeddedKafka):
    """A broker whose listener for clients wants TLS and SCRAM, and that allows what ACLs allow.

    `bootstrap` is a listener for the test, that may do everything.
    """

    def __init__(self, directory, authority):
        open_port, self.secure_port, controller = free_ports(3)
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        super().__init__(
            directory,
            open_port,
            settings={
                "controller.quorum.voters": f"1@127.0.0.1:{controller}",
                "listeners": f"OPEN://127.0.0.1:{open_port},CLIENTS://127.0.0.1:{self.secure_port},"
                f"CONTROLLER://127.0.0.1:{controller}",
                "inter.broker.listener.name": "OPEN",
                "listener.security.protocol.map": "OPEN:PLAINTEXT,CONTROLLER:PLAINTEXT,"
                "CLIENTS:SASL_SSL",
                "listener.name.clients.sasl.enabled.mechanisms": "SCRAM-SHA-512",
                "listener.name.clients.scram-sha-512.sasl.jaas.config": scram,
                "listener.name.clients.ssl.keystore.type": "PEM",
                "listener.name.clients.ssl.keystore.location": str(authority.server_pem),
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",
            },
        )

    def add_user(self, name, password):
        """Make a SCRAM user, who may do nothing yet."""
        admin = KafkaAdminClient(**client_options(self.bootstrap, {}, 10))
        user = UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, password)
        assert admin.alter_user_scram_credentials([user]) == {name: None}
        admin.close()

    def grant(self, commands):
        """Run lines of kafka-acls.sh."""
        for command in commands:
            program, *arguments = shlex.split(command, comments=True)
            assert program == "kafka-acls.sh"
            self.run_tool(
                "org.apache.kafka.tools.AclCommand",
                "--bootstrap-server",
                self.bootstrap,
                *arguments,
            )


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory, authority):
    """One such broker for the folder."""
    if (reason := EmbeddedKafka.available()) is not None:
        lacking("kafka", f"no real Kafka: {reason}")
    broker = SecureKafka(tmp_path_factory.mktemp("kafka"), authority)
    broker.start()
    yield broker
    broker.stop()


class SecureRedis(EmbeddedValkey):
    """A Redis with a port for TLS beside the open one, at which the test may do everything."""

    def __init__(self, directory, authority):
        self.secure_port = free_port()
        self._authority = authority
        tls = f"--tls-port {self.secure_port} --tls-auth-clients no".split()
        files = ("tls-ca-cert-file", "tls-cert-file", "tls-key-file")
        for name, file in zip(files, ("ca_crt", "server_crt", "server_key"), strict=True):
            tls += [f"--{name}", str(getattr(authority, file))]
        super().__init__(directory, options=tuple(tls), program=_redis())

    def secure_url(self, user, password):
        """The address at which `user` is let in with `password`."""
        address = f"{user}:{password}@127.0.0.1:{self.secure_port}"
        return f"rediss://{address}/0?ssl_ca_certs={self._authority.ca_crt}"


def ask(server, *command):
    """What the server answers to a command of the test's, that may do everything."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return client.execute_command(*command)


def set_user(server, line):
    """Take a line `user NAME ...` of an ACL file, in place of what the user had."""
    word, name, *rules = line.split()
    assert word == "user"
    ask(server, "ACL", "SETUSER", name, "reset", *rules)


def _redis():
    """The command of a Redis that has TLS."""
    if found := shutil.which("redis-server"):
        return (found,)
    program, libraries = FETCHED / "bin" / "redis-server", FETCHED / "lib"
    if not program.exists():
        lacking(
            "redis",
            "no Redis with TLS: `make redis` fetches Debian's, or put redis-server on the PATH",
        )
    paths = ":".join(map(str, libraries.iterdir()))
    return ("env", f"LD_LIBRARY_PATH={paths}", str(program))


@pytest.fixture(scope="session")
def secure_redis(tmp_path_factory, authority):
    """One such Redis for the folder."""
    with SecureRedis(tmp_path_factory.mktemp("redis"), authority) as server:
        yield server


@dataclass(frozen=True)
class Account:
    """Who the worker is at the servers. The words are such as appear nowhere by chance."""

    name: str
    kafka_password: str = "kafka-hunter2-Ax7"
    redis_password: str = "redis-hunter2-Bq9"

    @property
    def secrets(self):
        """What must appear nowhere."""
        return self.kafka_password, self.redis_password


class SecureStage(_shared.Stage):
    """A stage whose workers come in through TLS, with no more rights than SECURITY.md gives."""

    def __init__(self, kafka, server, folder, authority):
        super().__init__(kafka, server, folder)
        self.account = Account(f"u-{self.name}")
        name, kafka_password, redis_password = (
            self.account.name,
            self.account.kafka_password,
            self.account.redis_password,
        )
        self.settings |= {
            "kafka_bootstrap": f"127.0.0.1:{kafka.secure_port}",
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_username": name,
            "kafka_password": kafka_password,
            "kafka_ca_file": authority.ca_crt,
            "redis_url": server.secure_url(name, redis_password),
        }
        kafka.add_user(name, kafka_password)
        set_user(server, self.redis_line("worker"))

    def kafka_lines(self, who):
        """The commands of SECURITY.md under the heading `who`, for this stage's names."""
        lines = block(f"Kafka, {who}").splitlines()
        names = {
            "User:shoal": f"User:{self.account.name}",
            "--topic images": f"--topic {self.topic}",
            "--group shoal": f"--group {self.name}",
        }
        return [_replaced(line, names) for line in lines]

    def redis_line(self, who):
        """The line of SECURITY.md, for this stage's names."""
        names = {
            "user shoal": f"user {self.account.name}",
            "PASSWORD": self.account.redis_password,
            "~shoal:": f"~{self.name}:",
        }
        return _replaced(" ".join(block(f"Redis, {who}").split()), names)

    def committed(self):
        """The offsets committed by partition."""
        with self.admin() as admin:
            [found] = admin.list_group_offsets([self.name]).values()
        return {partition: committed.offset for partition, committed in found.items()}

    def grant(self):
        """Give the worker what SECURITY.md says at Kafka; at Redis it has that."""
        self.kafka.grant(self.kafka_lines("worker"))


def block(heading):
    """The code block of SECURITY.md below the heading."""
    found = re.search(rf"(?ms)^#+ {re.escape(heading)}\n.*?```\w*\n(.*?)```", RIGHTS)
    assert found, heading
    return found[1]


def _replaced(text, names):
    for old, new in names.items():
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="session")
def acl():
    """Asks servers, and sets their users; `block` is what SECURITY.md has below a heading."""
    return Acl


class Acl:
    """What tests use beside a stage."""

    ask = staticmethod(ask)
    set_user = staticmethod(set_user)
    block = staticmethod(block)
    text = " ".join(RIGHTS.split())


@pytest.fixture
def make_secure(request, secure_kafka, secure_redis, authority, tmp_path):
    """Makes a stage on the secure servers; `name` is its folder."""
    made = []

    def make(name=None):
        folder = tmp_path / (name or uuid.uuid4().hex)
        made.append(SecureStage(secure_kafka, secure_redis, folder, authority))
        request.node.stages = made
        return made[-1]

    yield make
    for stage in made:
        stage.close()


@pytest.fixture
def secure(make_secure):
    """The stage of most tests."""
    return make_secure()
