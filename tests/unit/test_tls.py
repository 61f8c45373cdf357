"""The files that TLS needs are checked before anything starts."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from stream_app.cli.main import cli
from stream_app.errors import SettingsError
from stream_app.setting_variables import PREFIX
from stream_app.settings import Settings
from stream_app.tls import tls_context
from tests.certificates import Authority, Certificate

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "hunter2"  # noqa: S105  a test's password
VARIABLES = {
    "ca": f"{PREFIX}KAFKA_TLS_CA_FILE",
    "cert": f"{PREFIX}KAFKA_TLS_CERT_FILE",
    "key": f"{PREFIX}KAFKA_TLS_KEY_FILE",
    "password": f"{PREFIX}KAFKA_TLS_KEY_PASSWORD",
}


def environment(**given: object) -> dict[str, str]:
    named = {VARIABLES[name]: str(text) for name, text in given.items()}
    return {f"{PREFIX}KAFKA_SECURITY_PROTOCOL": "SSL", **named}


def refusal(**given: object) -> str:
    with pytest.raises(SettingsError) as refused:
        tls_context(Settings.from_environment(environment(**given)))
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Certificate:
    return authority.issue("worker")


@pytest.fixture(scope="module")
def locked(authority: Authority) -> Certificate:
    return authority.issue("locked", password=PASSWORD)


def test_plain_connections_have_no_tls() -> None:
    assert tls_context(Settings.from_environment({})) is None


def test_tls_checks_the_brokers_name_and_authority() -> None:
    context = tls_context(Settings.from_environment(environment()))
    assert context is not None
    assert context.check_hostname


def test_files_that_go_together_are_accepted(
    authority: Authority, ours: Certificate, locked: Certificate
) -> None:
    for given in (
        {"ca": authority.certificate},
        {"cert": ours.certificate, "key": ours.key},
        {"cert": locked.certificate, "key": locked.key, "password": "hunter2"},
    ):
        assert tls_context(Settings.from_environment(environment(**given))) is not None


def test_a_missing_file_is_one_clear_error(tmp_path: Path, ours: Certificate) -> None:
    none = tmp_path / "none"
    for given in (
        {"ca": none},
        {"cert": none, "key": ours.key},
        {"cert": ours.certificate, "key": none},
    ):
        assert "cannot be read: No such file or directory" in refusal(**given)
        named = next(name for name, path in given.items() if path == none)
        assert refusal(**given).startswith(f"{VARIABLES[named]}={str(none)!r}")


def test_a_file_of_the_wrong_kind_is_refused(
    tmp_path: Path, authority: Authority, ours: Certificate
) -> None:
    nothing = tmp_path / "nothing"
    nothing.write_text("nothing")
    der = tmp_path / "ca.der"
    convert = ["openssl", "x509", "-in", str(authority.certificate), "-outform", "der"]
    der.write_bytes(subprocess.run(convert, check=True, capture_output=True).stdout)
    torn = tmp_path / "torn"
    torn.write_bytes(ours.certificate.read_bytes().replace(b"A", b"!"))
    for path in (nothing, der, ours.key):
        assert (
            refusal(ca=path) == f"{VARIABLES['ca']}={str(path)!r} holds no certificate in PEM form"
        )
    assert "holds no certificate" in refusal(cert=ours.key, key=ours.key)
    assert "holds no private key" in refusal(cert=ours.certificate, key=ours.certificate)
    assert "Is a directory" in refusal(ca=tmp_path)
    assert "is no regular file" in refusal(ca="/dev/zero")
    assert refusal(ca=torn).startswith(VARIABLES["ca"])
    assert VARIABLES["cert"] in refusal(cert=torn, key=ours.key)


def test_a_key_of_another_certificate_is_refused(ours: Certificate, locked: Certificate) -> None:
    text = refusal(cert=ours.certificate, key=locked.key, password=PASSWORD)
    assert "is not the key of STORE_UPTIME_KAFKA_TLS_CERT_FILE" in text


def test_a_key_with_a_password_needs_the_setting(ours: Certificate, locked: Certificate) -> None:
    """Without the setting OpenSSL would ask for the password on the terminal."""
    pair = {"cert": locked.certificate, "key": locked.key}
    assert "the key has a password: set STORE_UPTIME_KAFKA_TLS_KEY_PASSWORD" in refusal(**pair)
    wrong = refusal(**pair, password="hunter3")  # noqa: S106  a test's password
    assert "STORE_UPTIME_KAFKA_TLS_KEY_PASSWORD is not its password" in wrong
    assert "hunter3" not in wrong
    assert "longer than 1024 bytes" in refusal(**pair, password="x" * 1025)
    assert "has no password" in refusal(cert=ours.certificate, key=ours.key, password=PASSWORD)


def test_the_command_checks_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in environment(ca=tmp_path / "none").items():
        monkeypatch.setenv(name, text)
    shown = CliRunner().invoke(cli, ["settings"])
    assert isinstance(shown.exception, SettingsError)
    assert "KAFKA_TLS_CA_FILE" in str(shown.exception)
