"""A batch that cannot be read becomes a dead letter, and then the offset moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from faust.types import TP

from stream_app.contracts.dead_letters import dead_letter_key
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import (
    REPORT_REQUESTS,
    STORE_BUSINESS_HOURS,
    STORE_QUERIES,
    STORE_STATUS,
    STORE_TIMEZONES,
)
from stream_app.domain.timestamps import MINUTE
from stream_app.kafka.safe_records import UnreadableRecords
from stream_app.worker.consumer import ChunkMessage, ChunkScheduler
from stream_app.worker.facts.keys import decode_fact
from tests.agent_fakes import NOW, PARTITIONS, FakeEvent, FakeStream, Harness, settle, store_in
from tests.fake_record import FakeRecord

if TYPE_CHECKING:
    from stream_app.contracts.topics import TopicSpec

STORE = store_in(0)
POLL = encode_poll_batch(STORE, [(NOW - MINUTE, True)])


def unreadable(spec: TopicSpec, first: int, last: int) -> UnreadableRecords:
    return UnreadableRecords(spec.name, 0, first, first, last, NOW // 1000, "unknown codec 5")


def good(spec: TopicSpec, offset: int, value: bytes) -> FakeRecord:
    return FakeRecord(spec.name, value, partition=0, offset=offset, timestamp=NOW // 1000, key=b"k")


def events_from(spec: TopicSpec, *records: Any) -> list[FakeEvent]:
    """Return the events that agents get when a consumer has fetched these records."""
    place = TP(spec.name, 0)
    return [
        FakeEvent(ChunkMessage(place, chunk, 1))
        for _, chunk in ChunkScheduler().iterate({place: list(records)})
    ]


@pytest.mark.parametrize("spec", [STORE_STATUS, STORE_BUSINESS_HOURS, STORE_TIMEZONES])
async def test_an_unreadable_source_batch_is_a_dead_letter_before_anything_is_committed(
    spec: TopicSpec,
) -> None:
    harness = Harness(dict.fromkeys(range(PARTITIONS), ()))
    harness.publisher.sends.at_once = False
    events = events_from(spec, unreadable(spec, 4, 9))
    await harness.run(*events, spec=spec)
    (dead_letter,) = harness.publisher.dead_letters
    assert dead_letter.source == {"topic": spec.name, "partition": 0, "offset": 4, "last_offset": 9}
    assert (dead_letter.reason, dead_letter.original, dead_letter.key) == (
        "unknown codec 5",
        None,
        None,
    )
    assert dead_letter_key(dead_letter) == f"{spec.name}/0/4/9".encode()
    assert harness.commit_tracker.offset(TopicPartition(spec.name, 0)) == 4

    harness.publisher.sends.acknowledge()
    await settle()
    assert harness.commit_tracker.offset(TopicPartition(spec.name, 0)) == 10
    assert [event.acks for event in events] == [1]
    assert harness.failures.errors == []


async def test_the_records_around_an_unreadable_batch_are_applied() -> None:
    harness = Harness(dict.fromkeys(range(PARTITIONS), ()))
    timezones = STORE_TIMEZONES
    events = events_from(
        timezones,
        good(timezones, 3, encode_timezone(STORE, "UTC")),
        unreadable(timezones, 4, 9),
        good(timezones, 10, encode_timezone(STORE, "Asia/Tokyo")),
    )
    await harness.run(*events, spec=timezones)
    assert [decode_fact(value)[1] for value in harness.facts.content.values()] == [b"Asia/Tokyo"]
    assert len(harness.publisher.dead_letters) == 1
    assert harness.commit_tracker.offset(TopicPartition(timezones.name, 0)) == 11
    assert harness.owned_partitions.partitions[0].applied(timezones.name) == 11

    polls = events_from(STORE_STATUS, unreadable(STORE_STATUS, 0, 0), good(STORE_STATUS, 1, POLL))
    await harness.run(*polls)
    assert len(harness.polls(STORE)) == 1
    assert len(harness.publisher.dead_letters) == 2


@pytest.mark.parametrize("spec", [REPORT_REQUESTS, STORE_QUERIES])
async def test_an_unreadable_batch_of_requests_is_a_dead_letter(spec: TopicSpec) -> None:
    harness = Harness({0: [STORE]})
    events = events_from(spec, unreadable(spec, 4, 9))
    await harness.reports.requests(FakeStream(events))
    await settle()
    (dead_letter,) = harness.publisher.dead_letters
    assert dead_letter.source == {"topic": spec.name, "partition": 0, "offset": 4, "last_offset": 9}
    assert harness.publisher.reports == []
    assert harness.commit_tracker.offset(TopicPartition(spec.name, 0)) == 10
    assert [event.acks for event in events] == [1]


async def test_an_unreadable_batch_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness(dict.fromkeys(range(PARTITIONS), ()))
    await harness.run(*events_from(STORE_STATUS, unreadable(STORE_STATUS, 4, 9)))
    assert [message for message in caplog.messages if "store-status" in message] == [
        "store-status/0: offsets 4 to 9 cannot be read: unknown codec 5"
    ]
