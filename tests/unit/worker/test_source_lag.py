"""The lag of the owned source partitions is measured in records and in seconds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from stream_app.contracts.topics import STORE_STATUS, STORE_TIMEZONES
from stream_app.domain.timestamps import SECOND
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.offsets import EndOffsetFetcher
from stream_app.worker import source_lag
from stream_app.worker.metrics import SourceLag
from stream_app.worker.source_lag import SourceLags
from tests.agent_fakes import NOW, FakeOwnedPartitions, settings_with
from tests.fake_record import FakeRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiokafka import TopicPartition

STATUS, ZONES = STORE_STATUS.name, STORE_TIMEZONES.name


class Brokers(EndOffsetFetcher):
    """End offsets of partitions, and the times of records.

    Attributes:
        ends: end offset by partition; 0 for partitions that are not in it.
        appended: time of each record by topic, partition and offset; other offsets have no record.
        read: topic and first offsets of every read of records.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ends: dict[TopicPartition, int] = {}
        self.appended: dict[tuple[str, int, int], int] = {}
        self.error: Exception | None = None
        self.read: list[tuple[str, dict[int, int]]] = []
        monkeypatch.setattr(source_lag, "first_records", self._first_records)
        monkeypatch.setattr(source_lag, "ANSWER_SECONDS", 0.2)

    async def fetch(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        if self.error is not None:
            raise self.error
        return {place: self.ends.get(place, 0) for place in partitions}

    async def _first_records(
        self, _settings: Any, topic: str, offsets: Mapping[int, int]
    ) -> dict[int, FakeRecord]:
        if not offsets:
            return {}
        self.read.append((topic, dict(offsets)))
        records = {}
        for partition, offset in offsets.items():
            appended = self.appended.get((topic, partition, offset))
            if appended is None:
                await asyncio.Event().wait()
            assert appended is not None
            records[partition] = FakeRecord(
                topic, b"", partition=partition, offset=offset, timestamp=appended // 1000, key=None
            )
        return records


class Look:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.brokers = Brokers(monkeypatch)
        self.owned_partitions = FakeOwnedPartitions()
        self.lags = SourceLags(
            settings_with(),
            self.owned_partitions,
            self.brokers,
            lambda: NOW,
        )

    async def __call__(self) -> Mapping[TopicPartition, SourceLag]:
        await self.lags.update()
        return self.lags.lags()


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Look:
    return Look(monkeypatch)


async def test_without_records_to_apply_there_is_no_lag_and_nothing_is_read(look: Look) -> None:
    look.owned_partitions.own(1)
    lags = await look()
    assert lags[STATUS, 1] == lags[ZONES, 1] == SourceLag(0, 0.0)
    assert look.brokers.read == []


async def test_a_lag_is_the_age_of_the_oldest_record_that_waits(look: Look) -> None:
    look.owned_partitions.own(1)
    look.brokers.ends[STATUS, 1] = 12
    look.brokers.appended[STATUS, 1, 0] = NOW - 90 * SECOND
    lags = await look()
    assert lags[STATUS, 1] == SourceLag(12, 90.0)
    assert lags[ZONES, 1] == SourceLag(0, 0.0)


async def test_partitions_of_other_workers_are_left_out(look: Look) -> None:
    look.owned_partitions.own(1)
    look.brokers.ends[STATUS, 2] = 12
    assert {partition for _, partition in await look()} == {1}


async def test_a_partition_that_stands_still_is_read_once(look: Look) -> None:
    look.owned_partitions.own(1)
    look.brokers.ends[STATUS, 1] = 12
    look.brokers.appended[STATUS, 1, 0] = NOW
    await look()
    look.brokers.ends[STATUS, 1] = 13
    assert (await look())[STATUS, 1] == SourceLag(13, 0.0)
    assert look.brokers.read == [(STATUS, {1: 0})]


async def test_a_lag_whose_offsets_have_no_record_has_no_age(look: Look) -> None:
    look.owned_partitions.own(1)
    look.brokers.ends[STATUS, 1] = 1
    look.brokers.ends[ZONES, 1] = 2
    look.brokers.appended[ZONES, 1, 0] = NOW - SECOND
    lags = await look()
    assert lags[STATUS, 1] == SourceLag(1, None)
    assert lags[ZONES, 1] == SourceLag(2, 1.0)


async def test_without_a_broker_there_is_no_lag_rather_than_an_old_one(look: Look) -> None:
    look.owned_partitions.own(1)
    assert await look()
    look.brokers.error = BrokerUnavailableError("no broker answers")
    assert await look() == {}


async def test_a_broker_whose_clock_is_ahead_makes_no_negative_age(look: Look) -> None:
    look.owned_partitions.own(1)
    look.brokers.ends[STATUS, 1] = 1
    look.brokers.appended[STATUS, 1, 0] = NOW + SECOND
    assert (await look())[STATUS, 1] == SourceLag(1, 0.0)
