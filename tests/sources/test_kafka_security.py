import pytest

from worker.errors import SettingsError
from worker.kafka_security import kafka_security
from worker.settings import load

SASL = {
    "kafka_security_protocol": "SASL_SSL",
    "kafka_sasl_mechanism": "PLAIN",
    "kafka_username": "u",
    "kafka_password": "hunter2",
}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SASL | {"kafka_password": None}, "kafka_password: missing, .*'SASL_SSL' needs it"),
        (SASL | {"kafka_sasl_mechanism": None}, "kafka_sasl_mechanism: missing"),
        (
            SASL | {"kafka_security_protocol": "SSL"},
            "kafka_sasl_mechanism: has no use with",
        ),
        (SASL | {"kafka_key_file": "x"}, "kafka_certificate_file: missing, kafka_key_file"),
        ({"kafka_ca_file": "x"}, "kafka_ca_file: has no use with .*'PLAINTEXT'"),
        (SASL | {"kafka_ca_file": "/nowhere/ca"}, "kafka_ca_file: '/nowhere/ca': is no file"),
    ],
)
def test_what_cannot_work(options, message):
    """A setting that lacks another, or has no use, is named before anything is connected to."""
    with pytest.raises(SettingsError, match=message) as error:
        kafka_security(load(options))
    assert "hunter2" not in str(error.value)


def test_what_goes_together(tmp_path):
    """Everything that is given becomes an option of the client."""
    assert kafka_security(load({})) == {"security_protocol": "PLAINTEXT"}
    file = tmp_path / "ca.pem"
    file.touch()
    assert kafka_security(load(SASL | {"kafka_ca_file": str(file)})) == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "u",
        "sasl_plain_password": "hunter2",
        "ssl_cafile": str(file),
    }
