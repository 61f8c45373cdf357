"""Every secret may be read from a file; a bad file is refused, and no secret is ever shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stream_app.errors import SettingsError
from stream_app.local.processes.environment import environment_of
from stream_app.secret_files import MAX_SECRET_BYTES
from stream_app.setting_variables import PREFIX
from stream_app.settings import SECRETS, Settings
from stream_app.settings_table import describe, texts_of

SASL = {
    f"{PREFIX}KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    f"{PREFIX}KAFKA_SASL_USERNAME": "ann",
}
PASSWORD = f"{PREFIX}KAFKA_SASL_PASSWORD"
OTHERS = {
    "kafka_sasl_password": SASL,
    "kafka_tls_key_password": {
        f"{PREFIX}KAFKA_SECURITY_PROTOCOL": "SSL",
        f"{PREFIX}KAFKA_TLS_CERT_FILE": "cert.pem",
        f"{PREFIX}KAFKA_TLS_KEY_FILE": "key.pem",
    },
}
VALUE = "whsec_" + "AAAA" * 8


def read(path: object, **more: str) -> Settings:
    return Settings.from_environment({**SASL, f"{PASSWORD}_FILE": str(path), **more})


def refusal(path: object, **more: str) -> str:
    with pytest.raises(SettingsError) as refused:
        read(path, **more)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_every_secret_is_read_from_a_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{VALUE}\n")
    variable = PREFIX + name.upper()
    environment = {**OTHERS.get(name, {}), f"{variable}_FILE": str(file)}

    settings = Settings.from_environment(environment)

    assert texts_of(settings)[variable] == VALUE
    line = next(line for line in describe(settings, environment) if line.variable == variable)
    assert (line.value, line.origin) == ("********", f"file {file}")
    assert VALUE not in repr(settings)
    children = environment_of(settings, environment)
    assert Settings.from_environment(children) == settings


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b"\xef\xbb\xbfhunter2\n", "hunter2"),
        (b" hunter2 \n", " hunter2 "),
        (b"hunter2\n\n", "hunter2\n"),
        ("pässwört\n".encode(), "pässwört"),
        (b"x" * MAX_SECRET_BYTES, "x" * MAX_SECRET_BYTES),
    ],
)
def test_one_end_of_line_is_no_part_of_the_secret(
    content: bytes, password: str, tmp_path: Path
) -> None:
    (tmp_path / "p").write_bytes(content)
    assert read(tmp_path / "p").kafka_sasl_password.get_secret_value() == password


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b" \t\n", "is empty"),
        (b"hunter2\xff", "is not UTF-8 text"),
        ("hunter2".encode("utf-16"), "is not UTF-8 text"),
        (b"hunter2\0", "has a NUL byte"),
        (b"hunter2" + b"x" * MAX_SECRET_BYTES, "is larger than 64 kB"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "p").write_bytes(content)
    text = refusal(tmp_path / "p")
    assert text == f"{PASSWORD}_FILE={str(tmp_path / 'p')!r}: {reason}"


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    reasons = {
        tmp_path / "none": "cannot be read: No such file or directory",
        tmp_path / "none" / "x": "cannot be read: No such file or directory",
        tmp_path / "loop": "cannot be read: Too many levels of symbolic links",
        tmp_path: "cannot be read: Is a directory",
        tmp_path / "pipe": "is no regular file",
        Path("/dev/zero"): "is no regular file",
        "": "is empty; . is the current folder",
    }
    for path, reason in reasons.items():
        assert refusal(path) == f"{PASSWORD}_FILE={str(path)!r}: {reason}"


def test_a_file_without_the_right_to_read_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        # tests may run as root, which may read every file
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert refusal(tmp_path / "p").endswith(": cannot be read: Permission denied")


def test_the_same_secret_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("hunter2")
    text = refusal(tmp_path / "p", **{PASSWORD: "hunter3"})
    assert text.startswith(f"{PASSWORD}_FILE=")
    assert text.endswith("the variable without _FILE is set too: leave one of them out")
    assert "hunter" not in text


def test_a_wrong_secret_in_a_file_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("hunter2")
    with pytest.raises(SettingsError, match="WEBHOOK_SECRET_FILE") as refused:
        Settings.from_environment({f"{PREFIX}WEBHOOK_SECRET_FILE": str(tmp_path / "p")})
    assert "hunter2" not in str(refused.value)


def test_no_other_setting_has_a_file() -> None:
    with pytest.raises(SettingsError, match="API_PORT_FILE is no setting"):
        Settings.from_environment({f"{PREFIX}API_PORT_FILE": "/x"})
