"""A worker publishes the newest poll of every store: first all, then the changes, in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_app.worker import latest_polls as module
from stream_app.worker.latest_polls import LatestPollPublisher
from tests.agent_fakes import RecordingPublisher, settle
from tests.unit.worker.test_owned_partitions import ONE, TWO, Harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def active(instant: int) -> int:
    return instant << 1 | 1


def inactive(instant: int) -> int:
    return instant << 1


@pytest.fixture
def publisher() -> RecordingPublisher:
    return RecordingPublisher()


@pytest.fixture
async def latest(
    publisher: RecordingPublisher, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LatestPollPublisher]:
    monkeypatch.setattr(module, "BATCH_SECONDS", 0)
    latest = LatestPollPublisher(publisher)
    await latest.start()
    yield latest
    await latest.stop()


async def test_the_newest_polls_of_an_adopted_partition_are_published_once(
    latest: LatestPollPublisher, publisher: RecordingPublisher
) -> None:
    latest.adopt(3, {ONE: active(5), TWO: inactive(7)})
    await settle()

    assert publisher.latest == [(ONE, active(5)), (TWO, inactive(7))]


async def test_only_a_newer_poll_is_published(
    latest: LatestPollPublisher, publisher: RecordingPublisher
) -> None:
    latest.adopt(3, {ONE: active(5)})
    await settle()
    publisher.latest.clear()

    latest.record_polls(3, {ONE: inactive(4)})
    latest.record_polls(3, {ONE: active(5)})
    await settle()
    assert publisher.latest == []

    latest.record_polls(3, {ONE: active(6), TWO: active(1)})
    await settle()
    assert publisher.latest == [(ONE, active(6)), (TWO, active(1))]


async def test_of_two_polls_at_one_instant_the_inactive_one_is_published(
    latest: LatestPollPublisher, publisher: RecordingPublisher
) -> None:
    latest.adopt(3, {})
    for poll in (active(5), inactive(5), active(5)):
        latest.record_polls(3, {ONE: poll})
        await settle()

    assert publisher.latest == [(ONE, active(5)), (ONE, inactive(5))]


async def test_many_polls_of_a_store_between_two_batches_are_one_record(
    publisher: RecordingPublisher,
) -> None:
    latest = LatestPollPublisher(publisher)
    latest.adopt(3, {})
    for instant in range(100):
        latest.record_polls(3, {ONE: active(instant)})

    await latest._publish_batch()

    assert publisher.latest == [(ONE, active(99))]


async def test_a_batch_is_bounded_and_begins_with_the_store_that_waits_longest(
    publisher: RecordingPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BATCH_STORES", 1)
    latest = LatestPollPublisher(publisher)
    latest.adopt(3, {ONE: active(1), TWO: active(1)})

    await latest._publish_batch()
    latest.record_polls(3, {ONE: active(2)})
    await latest._publish_batch()
    await latest._publish_batch()
    await latest._publish_batch()

    assert publisher.latest == [(ONE, active(1)), (TWO, active(1)), (ONE, active(2))]


async def test_no_poll_of_a_revoked_partition_is_published(publisher: RecordingPublisher) -> None:
    latest = LatestPollPublisher(publisher)
    latest.adopt(3, {ONE: active(1)})
    latest.revoke(3)
    latest.record_polls(3, {ONE: active(2)})

    await latest._publish_batch()

    assert publisher.latest == []


async def test_an_error_of_publishing_ends_no_worker(
    latest: LatestPollPublisher, publisher: RecordingPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise OSError("full")

    with monkeypatch.context() as patched:
        patched.setattr(publisher, "publish_latest_poll", broken)
        latest.adopt(3, {ONE: active(1)})
        await settle()

    latest.record_polls(3, {ONE: active(2)})
    await settle()
    assert publisher.latest == [(ONE, active(2))]


async def test_the_polls_of_other_partitions_are_published_though_one_is_revoked(
    publisher: RecordingPublisher,
) -> None:
    latest = LatestPollPublisher(publisher)
    latest.adopt(3, {ONE: active(1)})
    latest.adopt(4, {TWO: active(2)})
    latest.revoke(3)
    latest.revoke(7)

    await latest._publish_batch()

    assert publisher.latest == [(TWO, active(2))]


async def test_a_new_owner_publishes_the_newest_polls_of_its_table() -> None:
    harness = Harness()
    harness.adopt(0, latest={ONE: active(9)})
    harness.adopt(1, latest={TWO: inactive(4)})

    await harness.latest._publish_batch()

    assert harness.publisher.latest == [(ONE, active(9)), (TWO, inactive(4))]

    harness.owned_partitions.revoke([0, 1])
    await harness.latest._publish_batch()
    assert len(harness.publisher.latest) == 2
