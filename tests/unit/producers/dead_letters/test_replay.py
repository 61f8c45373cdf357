from __future__ import annotations

from typing import Any

import pytest

from producers.dead_letters import replay as replay_module
from producers.dead_letters.log import DeadLetterFilter, DeadLetterLog
from producers.dead_letters.replay import DeadLetterReplay, ReplayResult
from stream_app.contracts.business_hours import (
    MAX_HOURS_ROWS,
    BusinessHours,
    HoursRecord,
    decode_hours,
    encode_hours,
)
from stream_app.contracts.dead_letters import DeadLetter
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import decode_poll_batch, encode_poll, encode_poll_batch
from stream_app.contracts.revisions import ORIGIN_HEADER, RecordOrigin, encode_origin
from stream_app.contracts.stores import TimezoneRecord, decode_timezone, encode_timezone
from stream_app.contracts.topics import (
    REPORT_REQUESTS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
    WEBHOOKS,
    TopicSpec,
)
from stream_app.contracts.webhooks import Webhook, decode_webhook, encode_webhook
from stream_app.errors import StoreUptimeError
from tests.unit.contracts.wire import unchecked_hours
from tests.unit.producers.dead_letters.fake_reader import SETTINGS, FakeReader

A = "0a0a0a0a-1111-4222-8333-444444444444"
B = "ffffffff-1111-4222-8333-444444444444"
NOW = 1_710_072_000_000_000
HOURS_COLUMNS = "store_id,dayOfWeek,start_time_local,end_time_local"


class SinkDouble:
    """Records the sent records, and whether it has waited for their acknowledgements."""

    def __init__(self) -> None:
        self.sent: list[tuple[TopicSpec, bytes, bytes]] = []
        self.drained = False

    async def send(self, topic: TopicSpec, key: bytes, value: bytes) -> None:
        assert not self.drained
        self.sent.append((topic, key, value))

    async def drain(self) -> None:
        self.drained = True


class Run:
    """Dead letters, the records on the topics, and the effect of a replay."""

    def __init__(self) -> None:
        self.reader = FakeReader()
        self.sink = SinkDouble()
        self.shown: list[str] = []

    def record(self, topic: TopicSpec, store_id: str, value: bytes, *, at: int) -> int:
        return self.reader.add(topic, store_id, value, at)

    def forwarded(
        self, topic: TopicSpec, store_id: str, value: bytes, origin: RecordOrigin, *, at: int
    ) -> int:
        header = (ORIGIN_HEADER, encode_origin(origin))
        return self.reader.add(topic, store_id, value, at, [header])

    def rejected_record(
        self, topic: TopicSpec, store_id: str, value: bytes, offset: int, *, at: int
    ) -> None:
        partition = partition_of(store_id.encode(), SETTINGS.partitions)
        source: dict[str, str | int] = {
            "topic": topic.name,
            "partition": partition,
            "offset": offset,
        }
        self.reader.add_dead_letter(DeadLetter(source, "why", value, store_id.encode()), at)

    def rejected_row(self, row: str, *, at: int, kind: str = "hours") -> None:
        source: dict[str, str | int] = {
            "file": "h.csv",
            "line": 3,
            "kind": kind,
            "columns": HOURS_COLUMNS if kind == "hours" else "store_id,timezone_str",
        }
        self.reader.add_dead_letter(DeadLetter(source, "why", row.encode()), at)

    async def replay(self, *, dry: bool = False, force: bool = False) -> ReplayResult:
        reader: Any = self.reader
        sink: Any = None if dry else self.sink
        log = await DeadLetterLog.open(reader)
        replay = DeadLetterReplay(
            SETTINGS, reader, sink, lambda: NOW, self.shown.append, force=force
        )
        result = await replay.run(log.iterate(DeadLetterFilter()))
        assert self.sink.drained is not dry
        return result

    def hours(self) -> list[HoursRecord]:
        return [
            decode_hours(value)
            for topic, _, value in self.sink.sent
            if topic is STORE_BUSINESS_HOURS
        ]

    def zones(self) -> list[TimezoneRecord]:
        return [
            decode_timezone(value) for topic, _, value in self.sink.sent if topic is STORE_TIMEZONES
        ]


def rows(*days: int) -> tuple[tuple[int, str, str], ...]:
    return tuple((day, "09:00", "17:00") for day in days)


def hours_of(store_id: str, *days: int) -> bytes:
    return encode_hours(store_id, list(rows(*days)))


# -- polls and requests


async def test_a_failed_webhook_is_tried_again() -> None:
    run = Run()
    old = encode_webhook(Webhook(B, "https://hooks.example.com/", 5))
    run.rejected_record(WEBHOOKS, B, old, 3, at=1)
    result = await run.replay()
    assert result == ReplayResult(total=1, sent=1)
    ((topic, key, value),) = run.sink.sent
    assert (topic, key) == (WEBHOOKS, B.encode())
    assert decode_webhook(value) == Webhook(B, "https://hooks.example.com/", NOW)


async def test_polls_and_requests_go_back_to_their_topics_under_the_id_of_their_store() -> None:
    run = Run()
    request = f'{{"report_id":"{B}","store_id":"{A.upper()}"}}'.encode()
    run.rejected_record(STORE_STATUS, A, encode_poll(A.upper(), NOW, active=True), 3, at=1)
    run.rejected_record(REPORT_REQUESTS, A, request, 4, at=2)
    result = await run.replay()
    assert result == ReplayResult(total=2, sent=2)
    assert result.complete
    assert run.sink.sent == [
        (STORE_STATUS, A.encode(), encode_poll_batch(A, [(NOW, True)])),
        (REPORT_REQUESTS, A.encode(), request),
    ]
    assert run.shown == [
        "1: a report that has failed stays failed: only a new report_id gets a new report"
    ]


async def test_a_large_batch_is_sent_in_records_of_the_usual_size() -> None:
    run = Run()
    polls = [(NOW - number, True) for number in range(1200)]
    run.rejected_record(STORE_STATUS, A, encode_poll_batch(A, polls), 3, at=1)
    await run.replay()
    batches = [decode_poll_batch(value)[0].polls for _, _, value in run.sink.sent]
    assert [len(batch) for batch in batches] == [512, 512, 176]
    assert [poll for batch in batches for poll in batch] == polls


async def test_the_good_polls_of_a_batch_are_sent_and_the_batch_counts_as_rejected() -> None:
    run = Run()
    value = encode_poll_batch(A, [(NOW, True), (NOW + SETTINGS.future_tolerance + 1, True)])
    run.rejected_record(STORE_STATUS, A, value, 3, at=1)
    result = await run.replay()
    assert result == ReplayResult(total=1, rejected_again=1)
    assert not result.complete
    assert decode_poll_batch(run.sink.sent[0][2])[0].polls == [(NOW, True)]
    assert run.shown == [
        "0: its good polls are sent, 1 are still bad: 2024-03-10T12:05:00.000001Z lies ahead of "
        "the clock (2024-03-10T12:00:00Z)"
    ]


async def test_an_original_that_is_rejected_again_is_not_sent_but_listed() -> None:
    run = Run()
    run.rejected_record(STORE_STATUS, A, b"\xff", 3, at=1)
    run.reader.add_dead_letter(DeadLetter({"file": "a.csv", "line": 3}, "why", b"x"), 2)
    run.rejected_record(STORE_STATUS, A, encode_poll(A, NOW, active=True), 3, at=3)
    result = await run.replay()
    assert result == ReplayResult(total=3, sent=1, rejected_again=1, not_replayable=1)
    assert not result.complete
    assert len(run.sink.sent) == 1
    assert run.shown[0].startswith("0: still bad: not JSON")
    assert run.shown[1].startswith("1: cannot be replayed: an earlier version kept it")


async def test_a_dry_run_sends_nothing_and_counts_the_same() -> None:
    run = Run()
    run.rejected_record(STORE_STATUS, A, encode_poll(A, NOW, active=True), 3, at=1)
    run.rejected_row(f"{A},1,09:00,17:00", at=2)
    run.rejected_record(STORE_STATUS, A, b"", 3, at=3)
    assert await run.replay(dry=True) == ReplayResult(total=3, sent=2, rejected_again=1)
    assert run.sink.sent == []


# -- hours and timezones: the last record of a store wins


async def test_without_a_newer_record_hours_and_timezones_are_sent() -> None:
    run = Run()
    older = run.record(STORE_BUSINESS_HOURS, A, hours_of(A, 0), at=10)
    run.rejected_record(STORE_BUSINESS_HOURS, A, hours_of(A, 1), older + 1, at=11)
    run.rejected_row(f"{B},UTC", at=12, kind="zones")
    assert (await run.replay()).sent == 2
    assert run.hours() == [HoursRecord(A, BusinessHours(rows(1)))]
    assert run.zones() == [TimezoneRecord(B, "UTC")]
    assert [key for _, key, _ in run.sink.sent] == [A.encode(), B.encode()]


@pytest.mark.parametrize("force", [False, True])
async def test_a_newer_record_of_a_store_is_not_overridden_unless_forced(force: bool) -> None:
    """The offsets decide, since a slow worker writes the dead letter after the newer record."""
    run = Run()
    newer = run.record(STORE_BUSINESS_HOURS, A, hours_of(A, 0), at=10)
    run.rejected_record(STORE_BUSINESS_HOURS, A, hours_of(A, 1), newer - 1, at=11)
    run.record(STORE_TIMEZONES, B, encode_timezone(B, "UTC"), at=20)
    run.rejected_row(f"{B},Asia/Tokyo", at=19, kind="zones")
    result = await run.replay(force=force)
    if force:
        assert result == ReplayResult(total=2, sent=2)
        assert run.hours() == [HoursRecord(A, BusinessHours(rows(1)))]
        assert run.zones() == [TimezoneRecord(B, "Asia/Tokyo")]
    else:
        assert result == ReplayResult(total=2, superseded=2)
        assert not result.complete
        assert run.sink.sent == []
        assert run.shown == [
            f"0: store {A} has newer business hours: --force replaces them",
            f"1: store {B} has a newer timezone: --force replaces it",
        ]


async def test_an_older_record_that_a_worker_forwarded_supersedes_nothing() -> None:
    run = Run()
    elsewhere = partition_of(A.encode(), SETTINGS.partitions) ^ 1
    older = RecordOrigin(5, elsewhere, 70)
    run.record(STORE_BUSINESS_HOURS, A, hours_of(A, 1), at=10)
    run.forwarded(STORE_BUSINESS_HOURS, A, hours_of(A, 2), older, at=30)
    run.rejected_row(f"{A},3,09:00,17:00", at=20)
    assert await run.replay() == ReplayResult(total=1, sent=1)
    assert run.hours() == [HoursRecord(A, BusinessHours(rows(1, 3)))]


@pytest.mark.parametrize(("appended_ms", "superseded"), [(19, False), (21, True)])
async def test_a_forwarded_record_is_as_old_as_its_origin(
    appended_ms: int, superseded: bool
) -> None:
    run = Run()
    origin = RecordOrigin(appended_ms, partition_of(A.encode(), SETTINGS.partitions) ^ 1, 70)
    run.forwarded(STORE_BUSINESS_HOURS, A, hours_of(A, 2), origin, at=30)
    run.rejected_record(STORE_BUSINESS_HOURS, A, hours_of(A, 1), 70, at=20)
    result = await run.replay()
    assert result == (
        ReplayResult(total=1, superseded=1) if superseded else ReplayResult(total=1, sent=1)
    )


@pytest.mark.parametrize(
    "newer",
    [b"\xff", unchecked_hours(A, [(9, "1", "2")]), hours_of(B, 3), encode_timezone(A, "UTC")],
)
async def test_a_newer_record_that_is_not_valid_supersedes_nothing(
    newer: bytes,
) -> None:
    run = Run()
    run.rejected_record(STORE_BUSINESS_HOURS, A, hours_of(A, 1), 0, at=10)
    run.record(STORE_BUSINESS_HOURS, A, b"", at=9)
    run.record(STORE_BUSINESS_HOURS, A, newer, at=20)
    assert (await run.replay()).sent == 1
    assert run.hours() == [HoursRecord(A, BusinessHours(rows(1)))]


async def test_hours_that_the_store_has_already_are_not_sent_again() -> None:
    run = Run()
    run.record(STORE_BUSINESS_HOURS, A, hours_of(A, 0, 1), at=20)
    run.rejected_record(STORE_BUSINESS_HOURS, A, hours_of(A, 0, 1), 0, at=10)
    run.rejected_row(f"{A},1,09:00,17:00", at=11)
    result = await run.replay()
    assert result == ReplayResult(total=2, unchanged=2)
    assert result.complete
    assert run.sink.sent == []


async def test_rows_of_hours_join_those_that_the_store_has() -> None:
    run = Run()
    run.record(STORE_BUSINESS_HOURS, A, hours_of(A, 0), at=10)
    for day in (1, 2, 1):
        run.rejected_row(f"{A},{day},09:00,17:00", at=10)
    run.rejected_row(f"{B},6,09:00,17:00", at=10)
    assert await run.replay() == ReplayResult(total=4, sent=3, unchanged=1)
    assert run.hours()[-2:] == [
        HoursRecord(A, BusinessHours(rows(0, 1, 2))),
        HoursRecord(B, BusinessHours(rows(6))),
    ]


@pytest.mark.parametrize("force", [False, True])
async def test_a_row_joins_newer_hours_only_when_forced(force: bool) -> None:
    run = Run()
    run.record(STORE_BUSINESS_HOURS, A, hours_of(A, 0), at=20)
    run.rejected_row(f"{A},1,09:00,17:00", at=10)
    result = await run.replay(force=force)
    assert result == (
        ReplayResult(total=1, sent=1) if force else ReplayResult(total=1, superseded=1)
    )
    assert run.hours() == ([HoursRecord(A, BusinessHours(rows(0, 1)))] if force else [])


async def test_a_row_beyond_the_limit_of_a_store_is_rejected_again() -> None:
    run = Run()
    full = [(0, f"{n // 60:02}:{n % 60:02}", "24:00") for n in range(MAX_HOURS_ROWS)]
    run.record(STORE_BUSINESS_HOURS, A, encode_hours(A, full), at=1)
    run.rejected_row(f"{A},1,09:00,17:00", at=10)
    assert await run.replay() == ReplayResult(total=1, rejected_again=1)
    assert run.sink.sent == []


async def test_later_dead_letters_of_a_store_win_over_earlier_ones() -> None:
    run = Run()
    for offset, days in enumerate([(0,), (1, 2), (3,)]):
        run.rejected_record(STORE_BUSINESS_HOURS, A, hours_of(A, *days), offset, at=offset)
    assert (await run.replay()).sent == 3
    assert run.hours()[-1] == HoursRecord(A, BusinessHours(rows(3)))


async def test_too_many_dead_letters_of_hours_and_timezones_are_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay_module, "MAX_HOURS_AND_TIMEZONES", 2)
    run = Run()
    for _ in range(3):
        run.rejected_row(f"{A},UTC", at=1, kind="zones")
    with pytest.raises(StoreUptimeError, match="replay them in parts, by --topic, --file or"):
        await run.replay()
