"""Only users of the machine who can read the data dir may use the local broker."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.kafka.clients import connection
from stream_app.kafka.local_login import PASSWORD_FILE, login_settings, read_password
from stream_app.local.kafka import java_cluster as local
from stream_app.local.kafka.java_cluster import JavaKafkaCluster
from stream_app.local.kafka.node import KafkaNode
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(os.environ, data_dir=tmp_path / "data")


@pytest.fixture
async def broker(settings: Settings) -> AsyncIterator[JavaKafkaCluster]:
    kafka = JavaKafkaCluster(settings.data_dir, settings.cache_dir)
    yield kafka
    await kafka.stop()


async def send(settings: Settings, value: bytes) -> None:
    async with AIOKafkaProducer(**connection(settings)) as producer:
        await producer.send_and_wait("topic", value)


async def read(settings: Settings) -> bytes:
    consumer = AIOKafkaConsumer(
        "topic", **connection(settings), group_id=None, auto_offset_reset="earliest"
    )
    async with consumer:
        return bytes((await consumer.getone()).value)


def readable_by_others(folder: Path) -> list[Path]:
    paths = [folder, *folder.rglob("*")]
    return [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]


def logs_of(settings: Settings) -> str:
    logs = (settings.data_dir / "logs").iterdir()
    return "".join(log.read_text(errors="replace") for log in logs)


def allow_new_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = KafkaNode.write_settings

    def write(node: KafkaNode, password: str | None) -> None:
        properties(node, password)
        text = node._properties.read_text().replace("enable=false", "enable=true")
        node._properties.write_text(text)

    monkeypatch.setattr(KafkaNode, "write_settings", write)


async def test_no_client_logs_in_without_the_password_and_no_other_user_reads_it(
    settings: Settings, broker: JavaKafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_new_topics(monkeypatch)
    started = await broker.start()
    ours = resolve_bootstrap(settings)
    assert ours.kafka_bootstrap == started.bootstrap
    await send(ours, b"one")
    assert await read(ours) == b"one"
    named = settings.replace(kafka_bootstrap=started.bootstrap)
    assert resolve_bootstrap(named) == ours, "a client that names the broker logs in as well"

    with pytest.raises(KafkaConnectionError):
        await send(named, b"two")
    wrong = named.replace(**login_settings("wrong"))
    with pytest.raises(KafkaError):
        await send(wrong, b"two")
    elsewhere = named.replace(data_dir=settings.data_dir / "elsewhere")
    assert resolve_bootstrap(elsewhere) == elsewhere, "not the broker of that data dir"

    assert readable_by_others(settings.data_dir) == []
    password = read_password(settings.data_dir)
    assert password
    assert password not in logs_of(settings)
    controller = broker.node(1).address.controller_port
    with pytest.raises(KafkaError):
        await send(settings.replace(kafka_bootstrap=f"127.0.0.1:{controller}"), b"two")


async def test_a_data_dir_of_an_earlier_version_has_a_password_after_the_next_start(
    settings: Settings, broker: JavaKafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_new_topics(monkeypatch)
    with monkeypatch.context() as earlier:
        earlier.setattr(local, "make_password", lambda _data_dir: None)
        await broker.start()
    assert not (settings.data_dir / PASSWORD_FILE).exists()
    # a broker that still runs is used without a password
    before = resolve_bootstrap(settings)
    assert before.kafka_security_protocol == "PLAINTEXT"
    assert (await JavaKafkaCluster(settings.data_dir, settings.cache_dir).start()).already_running
    await send(before, b"kept")
    await broker.stop()

    await JavaKafkaCluster(settings.data_dir, settings.cache_dir).start()
    after = resolve_bootstrap(settings)
    assert after.kafka_security_protocol == "SASL_PLAINTEXT"
    assert await read(after) == b"kept"
    with pytest.raises(KafkaConnectionError):
        await read(before)
