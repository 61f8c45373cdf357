from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_app.errors import SettingsError
from stream_app.kafka.clients import tls_context
from stream_app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def tls(**files: Path) -> Settings:
    said = {f"STORE_UPTIME_KAFKA_TLS_{name.upper()}_FILE": str(p) for name, p in files.items()}
    return Settings.from_environment({"STORE_UPTIME_KAFKA_SECURITY_PROTOCOL": "SSL", **said})


def test_plain_connections_have_no_tls() -> None:
    assert tls_context(Settings.from_environment({})) is None


def test_tls_checks_the_brokers_name_and_authority() -> None:
    context = tls_context(tls())
    assert context is not None
    assert context.check_hostname


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"TLS_\* cannot be used: No such file"):
        tls_context(tls(ca=tmp_path / "none"))


def test_a_file_that_is_no_certificate_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("nothing")
    with pytest.raises(SettingsError, match="cannot be used"):
        tls_context(tls(ca=tmp_path / "ca"))
