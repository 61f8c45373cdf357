"""The worker publishes each record to its topic, and stores before their watermarks."""

from __future__ import annotations

import asyncio
from uuid import UUID

import orjson
import pytest
from aiokafka.errors import MessageSizeTooLargeError, OutOfOrderSequenceNumber

from stream_app.contracts.dead_letters import DeadLetter, decode_dead_letter
from stream_app.contracts.report_results import ReportEvent, decode_event
from stream_app.contracts.stores import decode_store
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    MAX_STATE_BYTES,
    REPORT_RESULTS,
    STORES,
    WATERMARKS,
)
from stream_app.contracts.watermarks import Watermark, decode_watermark
from stream_app.domain.report_spec import ReportSpec
from stream_app.worker.metrics import WorkerMetrics
from stream_app.worker.publisher import Publisher
from stream_app.worker.report_document import extra_columns
from tests.agent_fakes import Failures, FakeBatches, settings_with, settle, store_in
from tests.report_contents import fleet_chunk

STORE = UUID(store_in(0)).bytes
MARK = Watermark("store-status", 0, 3, 9)
SOURCE: dict[str, str | int] = {"topic": "store-status", "partition": 1, "offset": 2}


@pytest.fixture
def batches() -> FakeBatches:
    return FakeBatches()


@pytest.fixture
def failures() -> Failures:
    return Failures()


@pytest.fixture
def publisher(batches: FakeBatches, failures: Failures) -> Publisher:
    publisher = Publisher(settings_with(), WorkerMetrics(), failures)
    publisher._batches = batches
    return publisher


async def test_a_future_is_done_when_the_record_is_acknowledged(
    publisher: Publisher, batches: FakeBatches
) -> None:
    stored = await publisher.publish_report_event(ReportEvent(str(UUID(int=1)), "running", 5))
    assert not stored.done()

    batches.sent[0].acknowledge()

    assert stored.done()


async def test_each_record_goes_to_its_topic_under_its_key(
    publisher: Publisher, batches: FakeBatches
) -> None:
    dead_letter = DeadLetter(SOURCE, "wrong", b"\xff", b"k")
    event = ReportEvent(str(UUID(int=1)), "failed", 5, reason="late")

    await publisher.publish_dead_letter(dead_letter)
    await publisher.publish_report_event(event)
    await publisher.forward("store-status", 3, store_in(3), b"as it came", [("origin", b"there")])

    dead, result, passed = batches.sent
    assert (dead.headers, result.headers, passed.headers) == ((), (), [("origin", b"there")])
    assert (dead.topic, dead.key, dead.partition) == (DEAD_LETTERS.name, b"store-status/1/2", 0)
    assert decode_dead_letter(dead.value) == dead_letter
    assert (result.topic, result.key) == (REPORT_RESULTS.name, event.report_id.encode())
    assert decode_event(result.value) == event
    assert (passed.topic, passed.partition) == ("store-status", 3)
    assert (passed.key, passed.value) == (store_in(3).encode(), b"as it came")


@pytest.mark.parametrize("original", [b"\0" * 2_000_000, b"\xff" * 9_000_000])
async def test_an_original_too_large_for_a_record_is_kept_in_part(
    publisher: Publisher, batches: FakeBatches, original: bytes
) -> None:
    await publisher.publish_dead_letter(DeadLetter(SOURCE, "wrong", original, b"k" * 2_000_000))

    (sent,) = batches.sent
    dead_letter = decode_dead_letter(sent.value)
    assert len(sent.value or b"") < MAX_STATE_BYTES
    assert dead_letter.original == original[:1_000_000]
    assert dead_letter.truncated
    assert dead_letter.reason == f"wrong (the first 1000000 of {len(original)} bytes)"


async def test_an_original_of_the_largest_plain_record_is_kept_whole(
    publisher: Publisher, batches: FakeBatches
) -> None:
    await publisher.publish_dead_letter(DeadLetter(SOURCE, "wrong", b"\0" * 1_000_000, None))

    dead_letter = decode_dead_letter(batches.sent[0].value)
    assert dead_letter.original == b"\0" * 1_000_000
    assert not dead_letter.truncated


# -- stores before watermarks


async def test_a_watermark_waits_until_the_stores_that_it_covers_are_registered(
    publisher: Publisher, batches: FakeBatches
) -> None:
    publisher.register_stores([STORE])
    publication = asyncio.create_task(publisher.publish_watermarks([MARK]))
    await settle()
    (registration,) = batches.sent
    assert registration.topic == STORES.name
    assert decode_store(registration.value).store_id == store_in(0)
    assert registration.key == store_in(0).encode()

    batches.at_once = True
    registration.acknowledge()
    await publication

    (watermark,) = batches.to(WATERMARKS.name)
    assert decode_watermark(watermark.value) == MARK
    assert watermark.key == b"store-status/0"


async def test_a_store_that_is_registered_delays_no_watermark(
    publisher: Publisher, batches: FakeBatches
) -> None:
    batches.at_once = True
    publisher.register_stores([STORE])
    await settle()

    await publisher.publish_watermarks([MARK])

    assert [sent.topic for sent in batches.sent] == [STORES.name, WATERMARKS.name]


async def test_a_store_that_comes_while_a_watermark_waits_does_not_delay_it(
    publisher: Publisher, batches: FakeBatches
) -> None:
    publisher.register_stores([STORE])
    publication = asyncio.create_task(publisher.publish_watermarks([MARK]))
    await settle()
    publisher.register_stores([UUID(store_in(0, 1)).bytes])

    batches.at_once = True
    batches.sent[0].acknowledge()
    await publication

    assert len(batches.to(WATERMARKS.name)) == 1
    assert not batches.sent[1].future.done()


async def test_a_registration_that_fails_while_it_is_waited_for_holds_the_watermark_back(
    publisher: Publisher, batches: FakeBatches
) -> None:
    publisher.register_stores([STORE])
    publication = asyncio.create_task(publisher.publish_watermarks([MARK]))
    await settle()

    batches.sent[0].future.set_exception(OSError("lost"))

    with pytest.raises(OSError, match="lost"):
        await publication
    assert batches.to(WATERMARKS.name) == []


# -- errors of the producer


async def test_a_record_that_fails_for_good_ends_the_worker(
    publisher: Publisher, batches: FakeBatches, failures: Failures
) -> None:
    """No task waits for a watermark: the worker would go on, and every report would wait for it."""
    publishing = asyncio.create_task(publisher.publish_watermarks([MARK]))
    await settle()
    error = OutOfOrderSequenceNumber()

    batches.sent[0].future.set_exception(error)
    await publishing

    assert failures.errors == [error]


async def test_a_record_that_is_too_large_is_an_error_of_the_call_and_ends_no_worker(
    publisher: Publisher, batches: FakeBatches, failures: Failures
) -> None:
    sent = await publisher.forward("store-status", 0, store_in(0), b"large")
    batches.sent[0].future.set_exception(MessageSizeTooLargeError())
    await settle()
    batches.error = MessageSizeTooLargeError()

    with pytest.raises(MessageSizeTooLargeError):
        await publisher.forward("store-status", 0, store_in(0), b"large")

    assert isinstance(sent.exception(), MessageSizeTooLargeError)
    assert failures.errors == []


async def test_watermarks_are_published_when_the_broker_holds_all_of_them(
    publisher: Publisher, batches: FakeBatches
) -> None:
    publishing = asyncio.create_task(
        publisher.publish_watermarks([MARK, Watermark("store-status", 1, 3, 9)])
    )
    await settle()

    batches.sent[1].acknowledge()
    await settle()
    assert not publishing.done()
    batches.sent[0].acknowledge()
    await publishing


async def test_who_stops_waiting_for_watermarks_cancels_nobody_else_of_their_batch(
    publisher: Publisher, batches: FakeBatches
) -> None:
    publishing = asyncio.create_task(publisher.publish_watermarks([MARK]))
    await settle()

    publishing.cancel()
    await settle()

    assert publishing.cancelled()
    assert not batches.sent[0].future.cancelled()


async def test_a_watermark_is_json_that_any_client_reads(
    publisher: Publisher, batches: FakeBatches
) -> None:
    batches.at_once = True
    await publisher.publish_watermarks([MARK])

    assert orjson.loads(batches.sent[0].value or b"")["applied"] == 3


async def test_only_the_status_running_waits_for_the_next_record(
    publisher: Publisher, batches: FakeBatches
) -> None:
    batches.at_once = True
    report_id = str(UUID(int=1))
    rows = fleet_chunk(ReportSpec(), extra_columns=extra_columns(ReportSpec()))

    await publisher.publish_report_event(ReportEvent(report_id, "running", 5))
    await publisher.publish_report_event(ReportEvent(report_id, "running", 5, chunk=rows))
    await publisher.publish_report_event(ReportEvent(report_id, "failed", 5, reason="late"))
    await publisher.publish_watermarks([MARK])
    await publisher.publish_latest_poll(STORE, lambda: 7)

    assert [sent.at_once for sent in batches.sent] == [False, True, True, True, True]
