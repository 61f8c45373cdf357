"""The log has one line when the broker is lost, and one when it is back."""

from __future__ import annotations

import asyncio

import pytest

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka import connectivity as module
from stream_app.kafka.connectivity import LOST, BrokerMonitor
from stream_app.kafka.diagnosis import Unusable
from stream_app.settings import Settings

SETTINGS = Settings.from_environment({}, kafka_bootstrap="127.0.0.1:9")


class Brokers:
    """Brokers that answer, refuse or never answer, as a test says."""

    def __init__(self) -> None:
        self.answer = "now"

    async def ask(self) -> None:
        if self.answer == "refused":
            raise BrokerUnavailableError("nobody there")
        if self.answer == "never":
            await asyncio.Event().wait()


@pytest.mark.parametrize("trouble", ["refused", "never"])
async def test_a_lost_broker_is_logged_once_and_its_return_once(
    trouble: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    caplog.set_level("INFO")
    brokers = Brokers()
    broker_monitor = BrokerMonitor(SETTINGS, brokers.ask)

    for answer in ("now", trouble, trouble, "now", "now", trouble):
        brokers.answer = answer
        await broker_monitor.check()

    messages = [
        record.getMessage().partition(",")[0].partition(":")[0] for record in caplog.records
    ]
    assert messages == [
        "the Kafka broker is out of reach",
        "the Kafka broker answers again",
        "the Kafka broker is out of reach",
    ]


async def test_the_broker_is_asked_until_the_monitor_stops(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "ASK_EVERY_SECONDS", 0)
    brokers = Brokers()
    broker_monitor = BrokerMonitor(SETTINGS, brokers.ask)
    await broker_monitor.start()
    brokers.answer = "refused"
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(caplog.records) == 1
    await broker_monitor.stop()
    brokers.answer = "now"
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(caplog.records) == 1


async def test_the_reason_is_logged_once_and_shown_until_the_broker_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    diagnosis: list[Unusable | None] = [None]

    async def why(*_: object) -> Unusable | None:
        return diagnosis[0]

    monkeypatch.setattr(module, "why_unusable", why)
    monkeypatch.setattr(module, "DIAGNOSE_EVERY_SECONDS", 0)
    brokers = Brokers()
    broker_monitor = BrokerMonitor(SETTINGS, brokers.ask)
    await broker_monitor.check()
    assert broker_monitor.trouble is None

    brokers.answer = "refused"
    for cause in (None, Unusable("nobody", unreachable=True)):
        diagnosis[0] = cause
        await broker_monitor.check()
        assert broker_monitor.trouble == LOST
    diagnosis[0] = Unusable("the password is wrong", unreachable=False)
    for _ in range(3):
        await broker_monitor.check()
        assert broker_monitor.trouble == "the password is wrong"
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == [
        "the password is wrong"
    ]

    brokers.answer = "now"
    await broker_monitor.check()
    assert broker_monitor.trouble is None
