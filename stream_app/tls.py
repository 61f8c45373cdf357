"""The TLS context of the connections to Kafka, from the files that the settings name."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from stream_app.errors import SettingsError
from stream_app.secret_files import read_regular_file
from stream_app.setting_variables import PREFIX

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings

_CA_FILE: Final = f"{PREFIX}KAFKA_TLS_CA_FILE"
_CERT_FILE: Final = f"{PREFIX}KAFKA_TLS_CERT_FILE"
_KEY_FILE: Final = f"{PREFIX}KAFKA_TLS_KEY_FILE"
_KEY_PASSWORD: Final = f"{PREFIX}KAFKA_TLS_KEY_PASSWORD"

_MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_MAX_PASSWORD_BYTES: Final = 1024
"""The longest password that OpenSSL accepts."""

_OTHER_KEY: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Make the TLS context of these settings; None where the protocol has no TLS.

    Raises:
        SettingsError: a file is missing or is not what it should be.
    """
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    authorities = settings.kafka_tls_ca_file
    if authorities is not None:
        _check_pem(_CA_FILE, authorities, "CERTIFICATE")
    try:
        context = ssl.create_default_context(cafile=str(authorities) if authorities else None)
    except OSError as error:
        raise SettingsError(f"{_CA_FILE}={str(authorities)!r}: {_reason(error)}") from error
    certificate, key = settings.kafka_tls_cert_file, settings.kafka_tls_key_file
    if certificate and key:
        _check_pem(_CERT_FILE, certificate, "CERTIFICATE")
        _check_pem(_KEY_FILE, key, "PRIVATE KEY")
        password = settings.kafka_tls_key_password.get_secret_value()
        _load_certificate(context, certificate, key, password)
    return context


def _load_certificate(context: ssl.SSLContext, certificate: Path, key: Path, password: str) -> None:
    if len(password.encode()) > _MAX_PASSWORD_BYTES:
        raise SettingsError(f"{_KEY_PASSWORD} is longer than {_MAX_PASSWORD_BYTES} bytes")
    was_asked = False

    def answer() -> str:
        # without an answer OpenSSL would ask on the terminal
        nonlocal was_asked
        was_asked = True
        return password

    said = f"{_KEY_FILE}={str(key)!r}"
    try:
        context.load_cert_chain(str(certificate), str(key), answer)
    except OSError as error:
        if getattr(error, "reason", None) in _OTHER_KEY:
            text = f"{said} is not the key of {_CERT_FILE}={str(certificate)!r}"
        elif was_asked and not password:
            text = f"{said}: the key has a password: set {_KEY_PASSWORD}"
        elif was_asked:
            text = f"{said}: {_KEY_PASSWORD} is not its password, or the file is damaged"
        else:
            text = f"{_CERT_FILE}={str(certificate)!r} and {said}: {_reason(error)}"
        raise SettingsError(text) from error
    if password and not was_asked:
        raise SettingsError(f"{_KEY_PASSWORD} is set, but {said} has no password")


def _check_pem(setting: str, path: Path, label: str) -> None:
    try:
        content = read_regular_file(path, _MAX_FILE_BYTES)
    except ValueError as error:
        raise SettingsError(f"{setting}={str(path)!r}: {error}") from None
    if b"-----BEGIN " not in content or f"{label}-----".encode() not in content:
        raise SettingsError(f"{setting}={str(path)!r} holds no {label.lower()} in PEM form")


def _reason(error: OSError) -> str:
    # the reason of an SSLError is a name such as NO_CERTIFICATE_OR_CRL_FOUND
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else "it is damaged"
