"""An event is acknowledged when all records that it led to are in Kafka, never before."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from stream_app.worker.commit_tracker import CommitTracker, InFlightEvent, acknowledge_when_done
from tests.agent_fakes import Failures, FakeEvent, FakeMessage, settle


class TrackedEvent:
    """An event in flight, with its acknowledgements and its commit."""

    def __init__(self) -> None:
        self._event = FakeEvent(FakeMessage(b""))
        self._commit_tracker = CommitTracker()
        self.in_flight: InFlightEvent = self._commit_tracker.track(self._event)

    @property
    def acks(self) -> int:
        return self._event.acks

    @property
    def committable(self) -> bool:
        return self._commit_tracker.offset(TopicPartition("store-status", 0)) == 1


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_an_event_is_acknowledged_after_its_last_record_in_any_order(
    order: tuple[int, ...],
) -> None:
    event, failures = TrackedEvent(), Failures()
    futures = [asyncio.get_running_loop().create_future() for _ in order]
    acknowledge_when_done(event.in_flight, futures, failures)

    for position in order:
        assert event.acks == 0
        futures[position].set_result(None)
        await settle()

    assert event.acks == 1
    assert event.committable
    assert failures.errors == []


async def test_an_event_that_led_to_no_record_is_acknowledged_at_once() -> None:
    event = TrackedEvent()

    acknowledge_when_done(event.in_flight, [], Failures())

    assert event.acks == 1
    assert event.committable


@pytest.mark.parametrize("failing", range(3))
async def test_an_event_is_not_acknowledged_when_one_of_its_records_fails(failing: int) -> None:
    event, failures = TrackedEvent(), Failures()
    futures = [asyncio.get_running_loop().create_future() for _ in range(3)]
    acknowledge_when_done(event.in_flight, futures, failures)
    error = OSError("the broker is gone")

    for position, future in enumerate(futures):
        if position == failing:
            future.set_exception(error)
        else:
            future.set_result(None)
    await settle()

    assert event.acks == 0
    assert not event.committable
    assert failures.errors == [error]


async def test_a_future_that_is_done_already_counts() -> None:
    event = TrackedEvent()
    done, open_ = (asyncio.get_running_loop().create_future() for _ in range(2))
    done.set_result(None)
    acknowledge_when_done(event.in_flight, [done, open_], Failures())
    await settle()
    assert event.acks == 0

    open_.set_result(None)
    await settle()

    assert event.acks == 1
    assert event.committable


async def test_a_cancelled_future_ends_the_worker_and_acknowledges_nothing() -> None:
    event, failures = TrackedEvent(), Failures()
    sent = asyncio.get_running_loop().create_future()
    acknowledge_when_done(event.in_flight, [sent], failures)

    sent.cancel()
    await settle()

    assert [str(error) for error in failures.errors] == ["a record's way to Kafka was cut off"]
    assert event.acks == 0
    assert not event.committable


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_an_event_with_fenced_records_is_left_to_the_new_owner_and_ends_no_worker(
    order: tuple[int, ...],
) -> None:
    event, failures = TrackedEvent(), Failures()
    futures = [asyncio.get_running_loop().create_future() for _ in order]
    acknowledge_when_done(event.in_flight, futures, failures)

    for position in order:
        if position == 0:
            futures[position].set_result(None)
        else:
            futures[position].set_exception(ProducerFenced())
        await settle()

    assert event.acks == 1, "Faust would wait for it"
    assert not event.committable, "nobody else would read the record again"
    assert failures.errors == []


async def test_a_fault_beside_a_fenced_record_ends_the_worker_all_the_same() -> None:
    event, failures = TrackedEvent(), Failures()
    futures = [asyncio.get_running_loop().create_future() for _ in range(2)]
    acknowledge_when_done(event.in_flight, futures, failures)
    error = OSError("the broker is gone")

    futures[0].set_exception(ProducerFenced())
    futures[1].set_exception(error)
    await settle()

    assert failures.errors == [error]
    assert not event.committable
