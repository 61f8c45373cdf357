"""Ingestion applies, rejects or forwards each source record, and then acknowledges its event."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import MessageSizeTooLargeError

from stream_app.contracts.business_hours import encode_hours, encode_rows
from stream_app.contracts.packed_polls import encode_packed_batch
from stream_app.contracts.polls import encode_poll, encode_poll_batch
from stream_app.contracts.revisions import ORIGIN_HEADER, RecordOrigin, Revision, encode_origin
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_STATUS, STORE_TIMEZONES
from stream_app.domain.poll_buckets import HOT, MAX_HOT_POLLS, WARM
from stream_app.domain.polls import poll_set
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, WEEK, format_instant
from stream_app.errors import RevokedError, TableError
from stream_app.worker.agents.chunk_writer import max_accepted_stores
from stream_app.worker.facts.keys import (
    HOURS_TAG,
    TIMEZONE_TAG,
    bucket_key,
    decode_fact,
    encode_fact,
    store_key,
)
from tests.agent_fakes import (
    NOW,
    PARTITIONS,
    Applied,
    FakeChunk,
    FakeEvent,
    FakeMessage,
    Forwarded,
    Harness,
    chunk_of,
    events_of,
    settings_with,
    settle,
    store_in,
)
from tests.unit.contracts.wire import unchecked_hours

if TYPE_CHECKING:
    from stream_app.contracts.topics import TopicSpec

SETTINGS = settings_with()
STORE = store_in(0)
KEY = store_key(STORE)
GOOD = encode_poll_batch(STORE, [(NOW - MINUTE, True)])
STATUS_0 = TopicPartition("store-status", 0)


def owning_all(**overrides: Any) -> Harness:
    """Return a worker that owns every partition, without stores."""
    return Harness(dict.fromkeys(range(PARTITIONS), ()), **overrides)


@pytest.fixture
def harness() -> Harness:
    return owning_all()


# -- polls


@pytest.mark.parametrize(
    "encode", [encode_poll_batch, lambda store, polls: encode_packed_batch(store, poll_set(polls))]
)
async def test_polls_reach_the_table_and_are_noted(harness: Harness, encode: Any) -> None:
    (event,) = await harness.deliver(
        encode(STORE, [(NOW - MINUTE, True), (NOW - 2 * MINUTE, False)])
    )

    assert harness.polls(STORE) == poll_set([(NOW - MINUTE, True), (NOW - 2 * MINUTE, False)])
    assert harness.owned_partitions.applied == [Applied(0, {KEY}, NOW - MINUTE)]
    assert harness.owned_partitions.completed == [(0, "store-status", 0)]
    assert event.acks == 1
    assert harness.publisher.dead_letters == []


async def test_an_event_is_acknowledged_when_all_its_writes_are_in_the_changelog(
    harness: Harness,
) -> None:
    full = [(NOW - number * MINUTE, True) for number in range(1, MAX_HOT_POLLS + 1)]
    first, second = events_of(
        encode_poll_batch(STORE, full), encode_poll_batch(STORE, [(NOW, True)])
    )
    await harness.run(first)
    harness.facts.sends.at_once = False

    await harness.run(second)

    assert harness.facts.writes[1:] == [(0, bucket_key(KEY, WARM)), (0, bucket_key(KEY, HOT))]
    assert len(harness.facts.sends.pending) == 2
    assert second.acks == 0
    harness.facts.sends.acknowledge(1)
    await settle()
    assert second.acks == 0
    harness.facts.sends.acknowledge(0)
    await settle()
    assert second.acks == 1


async def test_the_next_event_does_not_wait_for_the_one_before(harness: Harness) -> None:
    harness.facts.sends.at_once = False
    other = encode_poll_batch(store_in(0, 1), [(NOW, True)])

    first, second = await harness.deliver(GOOD, other)
    harness.facts.sends.acknowledge(1)
    await settle()

    assert (first.acks, second.acks) == (0, 1)


async def test_a_changelog_that_fails_ends_the_worker_with_the_event_unacknowledged(
    harness: Harness,
) -> None:
    harness.facts.sends.next_error = error = OSError("lost")

    (event,) = await harness.deliver(GOOD)

    assert event.acks == 0
    assert harness.failures.errors == [error]


async def test_a_table_that_fails_ends_the_worker_with_the_event_unacknowledged(
    harness: Harness,
) -> None:
    harness.facts.error = error = OSError("no space left")

    first, second = await harness.deliver(GOOD, GOOD)

    assert (first.acks, second.acks) == (0, 0)
    assert harness.failures.errors == [error]
    assert harness.publisher.dead_letters == []
    assert harness.owned_partitions.completed == []


async def test_polls_that_the_table_already_has_write_nothing(harness: Harness) -> None:
    events = await harness.deliver(GOOD, GOOD)

    assert len(harness.facts.writes) == 1
    assert [event.acks for event in events] == [1, 1]
    assert harness.owned_partitions.completed == [(0, "store-status", 0), (0, "store-status", 1)]


BAD_POLLS = {
    "not JSON": b"{",
    "bytes that are no text": b"\xff\xfe",
    "not an object": b"[]",
    "no value": None,
    "no store": b'{"polls": []}',
    "a store that is no UUID": b'{"store_id": "7", "polls": [[1, 1]]}',
    "no status": orjson.dumps({"store_id": STORE, "timestamp_utc": "2024-01-01T00:00:00Z"}),
    "a wrong time": orjson.dumps(
        {"store_id": STORE, "timestamp_utc": "yesterday", "status": "active"}
    ),
    "no poll": orjson.dumps({"store_id": STORE, "polls": []}),
    "bad polls alone": orjson.dumps({"store_id": STORE, "polls": [["x", 1], 7]}),
    "the future": encode_poll_batch(STORE, [(NOW + 2 * HOUR, True)]),
}


@pytest.mark.parametrize("value", BAD_POLLS.values(), ids=BAD_POLLS)
async def test_an_invalid_record_becomes_a_dead_letter_and_the_next_one_is_applied(
    harness: Harness, value: bytes | None
) -> None:
    bad, good = await harness.deliver(value, GOOD)

    (dead_letter,) = harness.publisher.dead_letters
    assert dead_letter.source == {"topic": "store-status", "partition": 0, "offset": 0}
    assert dead_letter.original == value
    assert dead_letter.key == b"a key"
    assert dead_letter.reason
    assert "internal" not in dead_letter.reason
    assert (bad.acks, good.acks) == (1, 1)
    assert harness.polls(STORE) == poll_set([(NOW - MINUTE, True)])
    assert harness.owned_partitions.applied == [Applied(0, set()), Applied(0, {KEY}, NOW - MINUTE)]
    assert harness.owned_partitions.completed == [(0, "store-status", 0), (0, "store-status", 1)]
    assert harness.failures.errors == []


async def test_the_event_of_a_rejected_record_is_acknowledged_when_its_dead_letter_is_stored(
    harness: Harness,
) -> None:
    harness.publisher.sends.at_once = False

    (event,) = await harness.deliver(b"{")
    assert event.acks == 0
    harness.publisher.sends.acknowledge()
    await settle()

    assert event.acks == 1


async def test_a_dead_letter_that_is_not_stored_ends_the_worker(harness: Harness) -> None:
    harness.publisher.sends.next_error = error = OSError("lost")

    (event,) = await harness.deliver(b"{")

    assert event.acks == 0
    assert harness.failures.errors == [error]


async def test_a_partly_bad_batch_applies_its_good_polls(harness: Harness) -> None:
    value = orjson.dumps({"store_id": STORE, "polls": [[NOW, 1], ["x", 1], [NOW + 2 * HOUR, 0]]})

    (event,) = await harness.deliver(value)

    assert harness.polls(STORE) == poll_set([(NOW, True)])
    (dead_letter,) = harness.publisher.dead_letters
    assert dead_letter.original == value
    assert dead_letter.reason.startswith("2 polls rejected: poll 1: ")
    assert "lies ahead of the clock" in dead_letter.reason
    assert event.acks == 1


async def test_a_partly_bad_batch_waits_for_its_writes_and_for_its_dead_letter(
    harness: Harness,
) -> None:
    harness.facts.sends.at_once = harness.publisher.sends.at_once = False
    (event,) = await harness.deliver(orjson.dumps({"store_id": STORE, "polls": [[NOW, 1], 7]}))

    harness.facts.sends.acknowledge()
    await settle()
    assert event.acks == 0
    harness.publisher.sends.acknowledge()
    await settle()

    assert event.acks == 1


async def test_the_tolerance_counts_from_the_time_that_the_broker_appended_the_record(
    harness: Harness,
) -> None:
    edge = NOW + SETTINGS.future_tolerance
    within, beyond = events_of(
        encode_poll_batch(STORE, [(edge, True)]), encode_poll_batch(STORE, [(edge + SECOND, True)])
    )

    await harness.run(within, beyond)

    assert harness.polls(STORE) == poll_set([(edge, True)])
    assert [dead_letter.source["offset"] for dead_letter in harness.publisher.dead_letters] == [1]


async def test_a_replay_rejects_the_same_polls_as_before(harness: Harness) -> None:
    value = encode_poll_batch(STORE, [(NOW + HOUR, True)])
    then, later = events_of(value, value)
    later.message.timestamp += 2 * HOUR / SECOND

    await harness.run(then)
    await harness.run(then)
    assert len(harness.publisher.dead_letters) == 2
    assert harness.facts.content == {}
    await harness.run(later)

    assert len(harness.publisher.dead_letters) == 2
    assert harness.polls(STORE) == poll_set([(NOW + HOUR, True)])


async def test_a_rejected_poll_is_never_the_newest(harness: Harness) -> None:
    await harness.deliver(encode_poll_batch(STORE, [(NOW, True), (NOW + 9 * HOUR, True)]))

    assert [applied.newest_poll for applied in harness.owned_partitions.applied] == [NOW]


async def test_a_record_that_causes_an_unexpected_error_is_a_dead_letter(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(_value: bytes) -> None:
        raise ZeroDivisionError("oh")

    with monkeypatch.context() as patch:
        patch.setattr("stream_app.worker.agents.chunk_writer.decode_packed_polls", decode)
        (bad,) = await harness.deliver(GOOD)
    (good,) = await harness.deliver(GOOD)

    (dead_letter,) = harness.publisher.dead_letters
    assert dead_letter.reason.startswith("internal error: ZeroDivisionError")
    assert (bad.acks, good.acks) == (1, 1)
    assert harness.failures.errors == []


# -- several records in one event


def single_polls(count: int, *stores: str) -> list[bytes]:
    """Encode single polls of the stores in turn, a minute apart, the last one at `NOW`."""
    return [
        encode_poll_batch(
            stores[number % len(stores)], [(NOW - (count - 1 - number) * MINUTE, True)]
        )
        for number in range(count)
    ]


async def test_a_chunk_writes_each_store_once(harness: Harness) -> None:
    one, two, three = (store_in(0, number) for number in range(3))
    chunk = chunk_of(*single_polls(30, one, two, three))

    await harness.run(chunk)

    assert len(harness.facts.writes) == 3
    assert [len(harness.polls(store)) for store in (one, two, three)] == [10, 10, 10]
    assert harness.owned_partitions.applied == [
        Applied(0, {store_key(s) for s in (one, two, three)}, NOW)
    ]
    assert harness.owned_partitions.completed == [(0, "store-status", 0)]
    assert harness.owned_partitions.partitions[0].applied("store-status") == 30
    assert harness.commit_tracker.offset(STATUS_0) == 30
    assert chunk.acks == 1


async def test_a_chunk_with_one_poll_of_each_store_costs_one_write_for_each(
    harness: Harness,
) -> None:
    stores = [store_in(0, number) for number in range(100)]

    await harness.run(chunk_of(*single_polls(100, *stores)))

    assert len(harness.facts.writes) == 100


async def test_a_bad_record_in_a_chunk_rejects_no_other(harness: Harness) -> None:
    ahead = encode_poll_batch(STORE, [(NOW + 9 * HOUR, True)])
    chunk = chunk_of(GOOD, b"{", ahead, encode_poll_batch(STORE, [(NOW, False)]))

    await harness.run(chunk)

    assert harness.polls(STORE) == poll_set([(NOW - MINUTE, True), (NOW, False)])
    assert [dead_letter.source["offset"] for dead_letter in harness.publisher.dead_letters] == [
        1,
        2,
    ]
    assert chunk.acks == 1


async def test_one_record_too_many_for_a_week_rejects_no_other_of_its_store(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_app.domain.poll_buckets.MAX_BATCH_WEEK_POLLS", 50)
    small = encode_poll_batch(STORE, [(NOW, True)])
    large = encode_poll_batch(STORE, [(NOW - second * SECOND, True) for second in range(60)])

    await harness.run(chunk_of(small, large, GOOD))

    assert harness.polls(STORE) == poll_set([(NOW, True), (NOW - MINUTE, True)])
    (dead_letter,) = harness.publisher.dead_letters
    assert dead_letter.source["offset"] == 1
    assert "in one week" in dead_letter.reason


async def test_a_chunk_counts_as_applied_when_its_forwarded_records_are_acknowledged(
    harness: Harness,
) -> None:
    harness.publisher.sends.at_once = False
    wrong_partition = encode_poll_batch(store_in(2), [(NOW, True)])
    chunk = chunk_of(GOOD, wrong_partition, *single_polls(2, STORE))

    await harness.run(chunk)

    assert len(harness.polls(STORE)) == 2
    assert harness.publisher.forwarded == [
        Forwarded(
            "store-status",
            2,
            store_in(2),
            chunk.message.records[1].value,
            ((ORIGIN_HEADER, encode_origin(RecordOrigin(NOW // 1000, 0, 1))),),
        )
    ]
    assert harness.owned_partitions.partitions[0].applied("store-status") == 0
    assert chunk.acks == 0
    harness.publisher.sends.acknowledge()
    await settle()
    assert harness.owned_partitions.partitions[0].applied("store-status") == 4
    assert chunk.acks == 1


async def test_the_last_timezone_of_a_store_in_a_chunk_wins(harness: Harness) -> None:
    timezones = ["UTC", "Asia/Gaza", "Europe/Paris"]

    await harness.run(
        chunk_of(*(encode_timezone(STORE, name) for name in timezones), topic=STORE_TIMEZONES.name),
        spec=STORE_TIMEZONES,
    )

    assert harness.fact(TIMEZONE_TAG, STORE) == b"Europe/Paris"


async def test_no_record_is_applied_while_too_much_waits_for_the_changelog(
    harness: Harness,
) -> None:
    capacity = asyncio.Event()

    async def wait(*_: Any, **__: Any) -> None:
        await capacity.wait()

    harness.facts.wait_for_capacity = wait  # type: ignore[method-assign]
    (event,) = events_of(GOOD)
    running = asyncio.create_task(harness.run(event))
    await settle()
    assert harness.facts.writes == []
    capacity.set()
    await running

    assert len(harness.facts.writes) == 1


# -- a record on a partition that does not own its store


async def test_a_record_on_a_wrong_partition_is_forwarded_and_not_applied(harness: Harness) -> None:
    store = store_in(2)
    value = orjson.dumps({"store_id": store.upper(), "polls": [[NOW, 1]]})

    (event,) = await harness.deliver(value)

    origin = encode_origin(RecordOrigin(NOW // 1000, 0, 0))
    assert harness.publisher.forwarded == [
        Forwarded("store-status", 2, store, value, ((ORIGIN_HEADER, origin),))
    ]
    assert harness.facts.content == {}
    assert event.acks == 1
    assert harness.owned_partitions.completed == [(0, "store-status", 0)]
    assert harness.owned_partitions.applied == [Applied(0, set())]


async def test_many_records_are_forwarded_at_once_and_count_when_they_are_acknowledged(
    harness: Harness,
) -> None:
    harness.publisher.sends.at_once = False
    first, second, good = await harness.deliver(
        encode_poll_batch(store_in(2), [(NOW, True)]),
        encode_poll_batch(store_in(3), [(NOW, True)]),
        GOOD,
    )
    assert len(harness.publisher.forwarded) == 2
    assert harness.owned_partitions.completed == [(0, "store-status", 2)]
    assert harness.owned_partitions.partitions[0].applied("store-status") == 0
    assert (first.acks, second.acks, good.acks) == (0, 0, 1)

    harness.publisher.sends.acknowledge(1)
    await settle()
    assert harness.owned_partitions.completed[1:] == [(0, "store-status", 1)]
    assert (first.acks, second.acks) == (0, 1)
    # the event before it is still in flight: no offset behind that event may be committed
    assert harness.commit_tracker.offset(STATUS_0) == 0

    harness.publisher.sends.acknowledge()
    await settle()
    assert (first.acks, second.acks) == (1, 1)
    assert harness.commit_tracker.offset(STATUS_0) == 3
    assert harness.owned_partitions.partitions[0].applied("store-status") == 3


async def test_a_record_that_cannot_be_forwarded_ends_the_worker(harness: Harness) -> None:
    harness.publisher.sends.next_error = error = OSError("lost")

    (event,) = await harness.deliver(encode_poll_batch(store_in(2), [(NOW, True)]))

    assert event.acks == 0
    assert harness.failures.errors == [error]
    assert harness.owned_partitions.completed == []


@pytest.mark.parametrize("rejected_by", ["the client", "the broker"])
async def test_a_record_too_large_to_be_forwarded_is_a_dead_letter(
    harness: Harness, rejected_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a compressed record may be larger than a plain one: it must not end one worker after another
    if rejected_by == "the broker":
        harness.publisher.sends.next_error = MessageSizeTooLargeError()
    else:

        async def forward(*_: object) -> None:
            raise MessageSizeTooLargeError

        monkeypatch.setattr(harness.publisher, "forward", forward)

    bad, good = await harness.deliver(encode_poll_batch(store_in(2), [(NOW, True)]), GOOD)

    (dead_letter,) = harness.publisher.dead_letters
    assert dead_letter.reason.startswith("too large to pass on")
    assert (bad.acks, good.acks) == (1, 1)
    assert sorted(harness.owned_partitions.completed) == [
        (0, "store-status", 0),
        (0, "store-status", 1),
    ]
    assert harness.failures.errors == []


async def test_a_record_of_a_partition_that_is_not_owned_is_left_for_its_next_owner(
    harness: Harness,
) -> None:
    """Faust may pass records to agents before the table is restored."""
    del harness.owned_partitions.partitions[0]
    (event,) = await harness.deliver(GOOD)

    assert harness.facts.content == {}
    assert harness.owned_partitions.completed == []
    assert harness.commit_tracker.offset(STATUS_0) is None
    assert event.acks == 1  # for Faust, which would wait for it


# -- offsets that the consumer did not return


def event_at(*offsets: int) -> FakeEvent:
    """Return an event with a chunk of good polls at these offsets."""
    return FakeEvent(FakeChunk(*(FakeMessage(GOOD, offset=offset) for offset in offsets)))


async def test_the_gap_before_the_first_record_of_every_event_is_inspected(
    harness: Harness,
) -> None:
    await harness.run(event_at(3, 5), event_at(8))

    assert harness.gaps.lookups == [(0, "store-status", 3), (0, "store-status", 8)]
    assert harness.seeks == []


async def test_a_record_that_was_missed_is_read_again_and_nothing_is_applied_beyond(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.gaps.missed = {8: 5, 9: 5}

    beyond = [event_at(8), event_at(9)]
    await harness.run(*beyond)

    assert harness.seeks == [("store-status", 0, 5)] * 2
    assert harness.facts.writes == []
    assert harness.owned_partitions.completed == []
    assert harness.commit_tracker.offset(STATUS_0) is None
    assert [event.acks for event in beyond] == [1, 1], "Faust would wait for them"
    assert "store-status/0: offset 5 was not handed out: reading on from there" in caplog.text

    await harness.run(event_at(5))
    assert len(harness.facts.writes) == 1


async def test_a_partition_that_is_revoked_while_its_gap_is_inspected_is_left_to_its_next_owner(
    harness: Harness,
) -> None:
    harness.gaps.on_lookup = harness.owned_partitions.partitions.clear

    event = event_at(8)
    await harness.run(event)

    assert harness.facts.writes == []
    assert harness.commit_tracker.offset(STATUS_0) is None
    assert event.acks == 1


async def test_nothing_is_applied_to_a_partition_that_is_adopted_again_while_its_gap_is_inspected(
    harness: Harness,
) -> None:

    def own_again() -> None:
        harness.owned_partitions.own(0)

    harness.gaps.on_lookup = own_again

    event = event_at(8)
    await harness.run(event)

    assert harness.facts.writes == []
    assert harness.commit_tracker.offset(STATUS_0) is None


async def test_a_partition_that_is_fenced_while_a_record_is_applied_ends_nothing(
    harness: Harness,
) -> None:
    harness.facts.error = RevokedError("partition 0 is not open in this worker")

    first = event_at(0)
    await harness.run(first)

    assert harness.failures.errors == []
    assert harness.publisher.dead_letters == [], "nothing is wrong with the record"
    assert first.acks == 1, "Faust would wait for it"
    assert harness.commit_tracker.offset(STATUS_0) == 0
    harness.facts.error = None
    second = event_at(1)
    await harness.run(second)
    assert second.acks == 1
    assert harness.commit_tracker.offset(STATUS_0) == 0, "the record comes again"


async def test_a_revoked_partition_that_is_read_is_no_fault_of_the_record(harness: Harness) -> None:
    def get(*_: Any, **__: Any) -> bytes:
        raise RevokedError("partition 0 is not open in this worker")

    harness.facts.get = get  # type: ignore[method-assign]
    for spec, value in ((STORE_STATUS, GOOD), (STORE_TIMEZONES, encode_timezone(STORE, "UTC"))):
        await harness.deliver(value, spec=spec)

    assert harness.publisher.dead_letters == []
    assert harness.failures.errors == []


async def test_a_database_that_cannot_be_read_is_no_fault_of_the_record(harness: Harness) -> None:
    """A dead letter would lose the record; without an acknowledgement it is read again later."""

    def get(*_: Any, **__: Any) -> bytes:
        raise error

    harness.facts.get = get  # type: ignore[method-assign]
    error = TableError("Corruption: block checksum mismatch")
    (event,) = await harness.deliver(GOOD)

    assert harness.publisher.dead_letters == []
    assert event.acks == 0
    assert harness.failures.errors == [error]


# -- business hours and timezones

HOURS = [(0, "09:00", "17:00"), (1, "22:00", "02:00")]


@pytest.mark.parametrize("spec", [STORE_BUSINESS_HOURS, STORE_TIMEZONES])
async def test_the_last_record_wins_and_one_that_is_read_again_writes_nothing(
    harness: Harness, spec: TopicSpec
) -> None:
    if spec is STORE_TIMEZONES:
        old, new = encode_timezone(STORE, "UTC"), encode_timezone(STORE, "Asia/Gaza")
        key, stored = KEY + TIMEZONE_TAG, b"Asia/Gaza"
    else:
        old, new = encode_hours(STORE, []), encode_hours(STORE, HOURS)
        key, stored = KEY + HOURS_TAG, encode_rows(HOURS)

    events = events_of(old, new, topic=spec.name)
    await harness.run(*events, *events, spec=spec)

    assert decode_fact(harness.facts.content.pop((0, key)))[1] == stored
    assert harness.facts.content == {}
    assert harness.facts.writes == [(0, key)] * 2
    assert [event.acks for event in events] == [2, 2]
    assert harness.owned_partitions.applied == [*[Applied(0, {KEY})] * 2, *[Applied(0, set())] * 2]
    assert harness.owned_partitions.completed == [(0, spec.name, offset) for offset in (0, 1, 0, 1)]


async def test_the_same_hours_in_a_newer_record_are_written_with_its_revision(
    harness: Harness,
) -> None:
    """Otherwise an older record that is forwarded only now would replace them."""
    same = encode_hours(STORE, HOURS)
    await harness.deliver(same, same, spec=STORE_BUSINESS_HOURS)

    assert harness.facts.content == {
        (0, KEY + HOURS_TAG): encode_fact(Revision(1, NOW // 1000), encode_rows(HOURS))
    }


def forwarded(value: bytes, origin: RecordOrigin, *, at: int, offset: int) -> FakeEvent:
    """Return an event with a record of hours that a worker forwarded at a time in ms."""
    header = (ORIGIN_HEADER, encode_origin(origin))
    name = STORE_BUSINESS_HOURS.name
    message = FakeMessage(value, name, offset=offset, timestamp=at / 1000, headers=[header])
    return FakeEvent(message)


@pytest.mark.parametrize(("appended", "counts"), [(4_999, False), (5_000, False), (5_001, True)])
async def test_a_forwarded_record_counts_if_the_broker_appended_it_later(
    harness: Harness, appended: int, counts: bool
) -> None:
    own_value, late_value = encode_hours(STORE, HOURS), encode_hours(STORE, [])
    own = FakeEvent(FakeMessage(own_value, STORE_BUSINESS_HOURS.name, offset=3, timestamp=5.0))
    late = forwarded(late_value, RecordOrigin(appended, 2, 70), at=9_000, offset=4)

    # the second reading from the beginning changes nothing
    await harness.run(own, late, own, late, spec=STORE_BUSINESS_HOURS)

    assert harness.fact(HOURS_TAG, STORE) == encode_rows([] if counts else HOURS)
    assert len(harness.facts.writes) == 1 + counts
    assert late.acks == 2


async def test_the_first_record_of_a_store_may_be_a_forwarded_one(harness: Harness) -> None:
    first = forwarded(encode_hours(STORE, []), RecordOrigin(7, 2, 70), at=9, offset=0)

    await harness.run(first, spec=STORE_BUSINESS_HOURS)

    assert harness.fact(HOURS_TAG, STORE) == b"[]"
    assert harness.owned_partitions.applied == [Applied(0, {KEY})]


async def test_hours_of_an_earlier_version_are_replaced_by_any_record(harness: Harness) -> None:
    harness.facts.content[0, KEY + HOURS_TAG] = encode_rows(HOURS)
    harness.owned_partitions.own(0, KEY)
    late = forwarded(encode_hours(STORE, []), RecordOrigin(7, 2, 70), at=9, offset=0)

    await harness.run(late, spec=STORE_BUSINESS_HOURS)

    assert harness.fact(HOURS_TAG, STORE) == b"[]"


@pytest.mark.parametrize(
    "row", [[7, "09:00", "17:00"], [0, "09:00", "25:00"], [0, "nine", "17:00"], [0, "09:00"], 1]
)
async def test_hours_with_one_bad_row_are_rejected_as_a_whole(harness: Harness, row: Any) -> None:
    good = encode_hours(STORE, HOURS)
    bad = orjson.dumps({"store_id": STORE, "hours": [[2, "09:00", "17:00"], row]})

    events = await harness.deliver(good, bad, spec=STORE_BUSINESS_HOURS)

    assert harness.fact(HOURS_TAG, STORE) == encode_rows(HOURS)
    assert [dead_letter.original for dead_letter in harness.publisher.dead_letters] == [bad]
    assert [event.acks for event in events] == [1, 1]


async def test_hours_are_stored_without_the_spaces_around_them(harness: Harness) -> None:
    padded = unchecked_hours(STORE, [(0, " 09:00" + " " * 1000, "\t17:00 ")])

    await harness.deliver(padded, spec=STORE_BUSINESS_HOURS)

    assert harness.fact(HOURS_TAG, STORE) == encode_rows([(0, "09:00", "17:00")])


@pytest.mark.parametrize("spec", [STORE_BUSINESS_HOURS, STORE_TIMEZONES])
async def test_hours_and_timezones_on_a_wrong_partition_are_forwarded_with_their_origin(
    harness: Harness, spec: TopicSpec
) -> None:
    """The key is not that of the store, because compaction would then remove the newer record."""
    store = store_in(1)
    value = encode_timezone(store, "UTC") if spec is STORE_TIMEZONES else encode_hours(store, HOURS)
    claimed = (ORIGIN_HEADER, encode_origin(RecordOrigin(1, 3, 1)))
    message = FakeMessage(value, spec.name, offset=6, headers=[claimed])

    await harness.run(FakeEvent(message), spec=spec)

    origin = encode_origin(RecordOrigin(NOW // 1000, 0, 6))
    assert harness.publisher.forwarded == [
        Forwarded(spec.name, 1, f"{store}@0", value, ((ORIGIN_HEADER, origin),))
    ]
    assert harness.facts.content == {}


@pytest.mark.parametrize("spec", [STORE_BUSINESS_HOURS, STORE_TIMEZONES])
async def test_invalid_hours_or_timezones_become_dead_letters(
    harness: Harness, spec: TopicSpec
) -> None:
    events = await harness.deliver(b"{}", None, b"", GOOD, spec=spec)

    assert len(harness.publisher.dead_letters) == 4
    assert [event.acks for event in events] == [1] * 4


async def test_the_newest_poll_of_each_store_is_recorded(harness: Harness) -> None:
    harness.latest.adopt(0, {KEY: (NOW - HOUR) << 1 | 1})

    await harness.deliver(
        encode_poll_batch(STORE, [(NOW, True), (NOW - MINUTE, True)]),
        encode_poll_batch(STORE, [(NOW, False)]),
        encode_poll_batch(STORE, [(NOW - MINUTE, False)]),
    )

    assert harness.latest._newest_polls[0] == {KEY: NOW << 1}


# -- the limit of stores


@pytest.mark.parametrize("spec", [STORE_STATUS, STORE_BUSINESS_HOURS, STORE_TIMEZONES])
async def test_a_new_store_beyond_the_limit_is_a_dead_letter_and_other_stores_go_on(
    spec: TopicSpec,
) -> None:
    harness = owning_all(max_stores=5)
    harness.owned_partitions.other_stores = 2
    stores = [store_in(0, number) for number in range(5)]
    harness.owned_partitions.partitions[0].stores = {store_key(stores[0])}
    values = {
        STORE_STATUS.name: lambda store: encode_poll_batch(store, [(NOW - MINUTE, True)]),
        STORE_BUSINESS_HOURS.name: lambda store: encode_hours(store, []),
        STORE_TIMEZONES.name: lambda store: encode_timezone(store, "UTC"),
    }[spec.name]
    # two new stores are within the limit, one of them twice; two are beyond it
    names = [stores[1], stores[0], stores[2], stores[1], stores[3], stores[4]]
    await harness.run(chunk_of(*map(values, names), topic=spec.name), spec=spec)

    assert harness.owned_partitions.applied == [Applied(0, set(map(store_key, stores[:3])), ANY)]
    assert [dead_letter.original for dead_letter in harness.publisher.dead_letters] == list(
        map(values, stores[3:])
    )
    assert "STORE_UPTIME_MAX_STORES=5" in harness.publisher.dead_letters[0].reason
    assert {key[:16] for _, key in harness.facts.content} == set(map(store_key, stores[:3]))


def test_workers_accept_one_percent_more_stores_than_the_api() -> None:
    assert max_accepted_stores(settings_with(max_stores=1_000_000)) == 1_010_000
    assert max_accepted_stores(settings_with(max_stores=3)) == 3


# -- polls that no report can ever see

EARLY = 1_785_000_000_000
"""An instant of 2026 in milliseconds, which is of 1970 if it is read as microseconds."""


async def test_a_poll_with_a_wrong_unit_is_rejected_with_a_guess(harness: Harness) -> None:
    await harness.deliver(encode_poll_batch(STORE, [(EARLY, True), (NOW, True)]))
    assert harness.polls(STORE) == poll_set([(NOW, True)])
    (dead_letter,) = harness.publisher.dead_letters
    assert dead_letter.reason == (
        "1 polls rejected: 1970-01-21T15:50:00Z lies before 2000-01-01T00:00:00Z "
        "(STORE_UPTIME_EARLIEST_POLL): a wrong unit? Read as milliseconds it is "
        "2026-07-25T17:20:00Z"
    )


async def test_a_poll_of_a_clock_that_was_never_set_makes_no_store(harness: Harness) -> None:
    (event,) = await harness.deliver(encode_poll(STORE, 5 * SECOND, active=True))
    assert event.acks == 1
    assert not harness.facts.content
    assert "a clock that was never set?" in harness.publisher.dead_letters[0].reason


OLD = 64 * WEEK
"""An age beyond the retention, at which a poll has the same slot as a poll of `NOW`."""


def hourly(start: int, count: int) -> list[tuple[int, bool]]:
    return [(start - hour * HOUR, True) for hour in range(count)]


def dropped(harness: Harness, reason: str) -> float:
    value = harness.metrics.registry.get_sample_value(
        "store_uptime_dropped_polls_total", {"reason": reason}
    )
    assert value is not None
    return value


@pytest.mark.parametrize("count", [1, 40])
async def test_polls_that_come_too_late_are_kept_as_a_dead_letter(
    harness: Harness, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    value = encode_poll_batch(STORE, hourly(NOW - OLD, count))
    await harness.deliver(encode_poll_batch(STORE, hourly(NOW, 60)), GOOD)
    before = dict(harness.facts.content)
    (event,) = await harness.deliver(value)

    assert event.acks == 1
    assert harness.facts.content == before
    (dead_letter,) = harness.publisher.dead_letters
    assert dead_letter.original == value
    first = format_instant(NOW - OLD - (count - 1) * HOUR)
    polls = first if count == 1 else f"40 polls rejected: {first} to {format_instant(NOW - OLD)}"
    assert dead_letter.reason == (
        f"{polls}: older than STORE_UPTIME_RETENTION (400d) before the store's newest poll, "
        f"{format_instant(NOW)}"
    )
    assert (dropped(harness, "late"), dropped(harness, "expired")) == (count, 0)
    assert f"{count} late polls of 1 records are rejected" in caplog.text


@pytest.mark.parametrize("weeks", [63, 65])
async def test_old_polls_of_another_slot_are_kept(harness: Harness, weeks: int) -> None:
    await harness.deliver(encode_poll_batch(STORE, hourly(NOW, 60)))
    before = sum(len(value or b"") for value in harness.facts.content.values())
    await harness.deliver(encode_poll_batch(STORE, hourly(NOW - weeks * WEEK, 40)))
    assert harness.publisher.dead_letters == []
    assert sum(len(value or b"") for value in harness.facts.content.values()) == before + 40 * 8


async def test_each_of_many_records_with_late_polls_is_a_dead_letter_of_its_own(
    harness: Harness,
) -> None:
    old = [encode_poll_batch(STORE, hourly(NOW - OLD - n * DAY, 3)) for n in range(3)]
    mixed = encode_poll_batch(STORE, [*hourly(NOW, 3), (NOW - OLD, False)])
    await harness.run(chunk_of(*old, GOOD, mixed))
    assert [dead_letter.original for dead_letter in harness.publisher.dead_letters] == [*old, mixed]
    assert harness.publisher.dead_letters[3].reason.startswith(
        format_instant(NOW - OLD) + ": older than"
    )
    assert dropped(harness, "late") == 10
    assert harness.polls(STORE) == poll_set([*hourly(NOW, 3), (NOW - MINUTE, True)])


async def test_the_order_decides_how_old_polls_are_counted_and_not_which_are_kept(
    harness: Harness,
) -> None:
    old = encode_poll_batch(STORE, hourly(NOW - OLD, 40))
    new = encode_poll_batch(STORE, hourly(NOW, 40))
    other = owning_all()
    await harness.deliver(old)
    await harness.deliver(new)
    await other.deliver(new)
    await other.deliver(old)
    assert harness.facts.content == other.facts.content
    # polls that much newer ones replace were in reports until then
    assert (dropped(harness, "late"), dropped(harness, "expired")) == (0, 40)
    assert (dropped(other, "late"), dropped(other, "expired")) == (40, 0)


async def test_many_late_records_are_one_line_a_minute(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    await harness.deliver(GOOD)
    for _ in range(5):
        await harness.deliver(encode_poll_batch(STORE, hourly(NOW - OLD, 2)))
    assert len(harness.publisher.dead_letters) == 5
    assert caplog.text.count("late polls") == 1
    assert "rejected store-status" not in caplog.text


# -- unknown timezones


async def test_an_unknown_timezone_is_logged_once_for_each_store(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    value = encode_timezone(STORE, "america/new_york")
    await harness.deliver(value, value, spec=STORE_TIMEZONES)
    await harness.deliver(value, spec=STORE_TIMEZONES)
    line = (
        f"store {STORE}: 'america/new_york' is not an IANA timezone: the default one, "
        "America/Chicago, applies"
    )
    assert caplog.messages.count(line) == 1
    await harness.deliver(encode_timezone(STORE, "America/New_York"), spec=STORE_TIMEZONES)
    assert caplog.text.count("is not an IANA timezone") == 1
