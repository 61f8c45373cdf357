from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition

from stream_app.errors import SettingsError
from stream_app.kafka import clients
from stream_app.kafka.clients import producer, stop, tls_context
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


# -- producers that outlive a lost broker


async def test_a_batch_without_a_leader_waits_instead_of_failing() -> None:
    """One that failed would leave a gap in the numbers of its partition, for ever."""
    client = producer(Settings.from_environment({}, kafka_bootstrap="127.0.0.1:9"))
    accumulator = client._message_accumulator
    batch = accumulator._append_batch(accumulator.create_builder(), TopicPartition("t", 0))

    batch._ctime -= 10 * 24 * 3600

    assert not batch.expired()
    client._closed = True  # it was never started


class Hanging:
    """Does not end by itself."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.hangs = ""

    async def flush(self) -> None:
        await self._do("flush")

    async def stop(self) -> None:
        await self._do("stop")

    async def _do(self, what: str) -> None:
        self.done.append(what)
        if self.hangs == what:
            await asyncio.Event().wait()


@pytest.mark.parametrize("where", ["flush", "stop"])
async def test_a_lost_broker_holds_up_no_stop(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setattr(clients, "CLOSING_SECONDS", 0.01)
    client = Hanging()
    client.hangs = where

    await stop(client, client.flush)


async def test_what_was_gathered_goes_out_before_the_client_stops() -> None:
    client = Hanging()

    await stop(client, client.flush)
    await stop(client)

    assert client.done == ["flush", "stop", "stop"]
