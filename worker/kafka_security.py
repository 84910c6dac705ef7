"""kafka-python's security options, from settings that go together."""

from collections.abc import Mapping
from typing import Any

from worker.errors import SettingsError
from worker.settings import Settings

_SASL = ("kafka_sasl_mechanism", "kafka_username", "kafka_password")
_FILES = ("kafka_ca_file", "kafka_certificate_file", "kafka_key_file")


def kafka_security(settings: Settings) -> Mapping[str, Any]:
    """The options. Raises `SettingsError` where a setting lacks another, or has no use."""
    _check(settings)
    password = settings.kafka_password
    options = {
        "security_protocol": settings.kafka_security_protocol,
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": None if password is None else password.get_secret_value(),
        "ssl_cafile": _text(settings.kafka_ca_file),
        "ssl_certfile": _text(settings.kafka_certificate_file),
        "ssl_keyfile": _text(settings.kafka_key_file),
    }
    return {name: value for name, value in options.items() if value is not None}


def _check(settings: Settings) -> None:
    protocol = settings.kafka_security_protocol
    for names, used_by in ((_SASL, ("SASL_PLAINTEXT", "SASL_SSL")), (_FILES, ("SSL", "SASL_SSL"))):
        for name in names:
            if getattr(settings, name) is not None and protocol not in used_by:
                raise SettingsError(
                    f"{name}: has no use with kafka_security_protocol {protocol!r}, only with"
                    f" {' and '.join(used_by)}"
                )
    for name in _SASL:
        if protocol.startswith("SASL") and getattr(settings, name) is None:
            raise SettingsError(f"{name}: missing, kafka_security_protocol {protocol!r} needs it")
    if settings.kafka_key_file is not None and settings.kafka_certificate_file is None:
        raise SettingsError("kafka_certificate_file: missing, kafka_key_file needs it")
    for name in _FILES:
        path = getattr(settings, name)
        if path is not None and not path.is_file():
            raise SettingsError(f"{name}: {str(path)!r}: is no file")


def _text(path: object) -> str | None:
    return None if path is None else str(path)
