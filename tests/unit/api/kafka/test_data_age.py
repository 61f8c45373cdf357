"""The age of the data follows from the end offsets of the brokers and the applied offsets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from api.kafka import data_age as module
from api.kafka.data_age import DataAge, Freshness
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka import connectivity
from stream_app.kafka.connectivity import BrokerMonitor
from tests.fakes import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka import TopicPartition

START = 1_710_072_000_000_000
SECOND = 1_000_000
SOURCE = ("store-status", 0)


class Workers:
    """A partition whose records and whose owner a test changes.

    Attributes:
        end: its end offset.
        applied: its applied offset.
        error: raised by every request to the brokers, or None if they answer.
        hangs: whether the brokers never answer.
        unowned: why no worker owns it, or None if one does.
    """

    def __init__(self) -> None:
        self.end = self.applied = 0
        self.error: Exception | None = None
        self.hangs = False
        self.unowned: str | None = None

    async def source_end_offsets(self) -> dict[TopicPartition, int]:
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return {SOURCE: self.end}

    def has_applied(self, end_offsets: Mapping[TopicPartition, int]) -> bool:
        return self.applied >= end_offsets[SOURCE]

    def why_unowned(self) -> str | None:
        return self.unowned


class Harness:
    """The age of the data, by workers and a clock that a test sets."""

    def __init__(self) -> None:
        self.now = START
        self.workers = Workers()
        self.age = DataAge(self.workers, lambda: self.now)
        self.broker_monitor = BrokerMonitor(SETTINGS, self.age.sample)

    async def at(self, seconds: int) -> Freshness:
        """Let the monitor ask some seconds after the start, and return the age."""
        self.now = START + seconds * SECOND
        await self.broker_monitor.check()
        return self.age.now()


async def test_applied_data_is_as_new_as_the_check() -> None:
    harness = Harness()
    assert await harness.at(1) == Freshness(START + SECOND, START + SECOND)


async def test_workers_that_stand_still_are_reported_with_the_time_that_they_reached() -> None:
    harness = Harness()
    await harness.at(1)
    harness.workers.end = 5
    assert (await harness.at(4)).part is None  # a short delay is no reason
    late = await harness.at(20)
    assert (late.as_of, late.part) == (START + SECOND, "workers")
    assert late.reason == "the workers are still applying what came in"

    harness.workers.unowned = "no worker owns partition 0 now"
    assert (await harness.at(21)).reason == "no worker owns partition 0 now"
    harness.workers.unowned = None

    # the records of second 4 are applied, later ones are not
    harness.workers.end, harness.workers.applied = 9, 5
    assert (await harness.at(22)).as_of == START + 21 * SECOND
    harness.workers.applied = 9
    assert await harness.at(23) == Freshness(START + 23 * SECOND, START + 23 * SECOND)


async def test_workers_that_apply_nothing_are_late_from_the_first_answer_on() -> None:
    harness = Harness()
    harness.workers.end = 5
    assert await harness.at(10) == Freshness(START + 10 * SECOND, None)
    assert (await harness.at(15)).part is None
    assert (await harness.at(16)).part == "workers"


async def test_without_an_owner_the_data_becomes_old_even_without_new_records() -> None:
    harness = Harness()
    await harness.at(1)
    harness.workers.unowned = "no worker owns partition 0 now"
    assert (await harness.at(4)).part is None
    late = await harness.at(30)
    assert (late.as_of, late.part) == (START + SECOND, "workers")


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_lost_broker_is_reported_at_once_and_so_is_its_return(
    hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_reason(*_: object) -> None:
        return None

    monkeypatch.setattr(connectivity, "why_unusable", no_reason)
    monkeypatch.setattr(connectivity, "PATIENCE_SECONDS", 0)
    harness = Harness()
    await harness.at(1)
    harness.workers.hangs = hangs
    harness.workers.error = None if hangs else BrokerUnavailableError("away")
    lost = await harness.at(3)
    assert (lost.as_of, lost.part) == (START + SECOND, "broker")

    harness.workers.hangs, harness.workers.error = False, None
    monkeypatch.setattr(connectivity, "PATIENCE_SECONDS", 3)
    assert await harness.at(4) == Freshness(START + 4 * SECOND, START + 4 * SECOND)


async def test_the_number_of_waiting_samples_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SAMPLES", 3)
    harness = Harness()
    for second in range(10):
        harness.workers.end += 1
        await harness.at(second)
    assert len(harness.age._samples) == 3
