"""A store's buckets hold its polls as one set, whatever the order, the batches and the crashes."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.contracts.topics import MAX_STATE_BYTES
from stream_app.domain import poll_buckets as buckets
from stream_app.domain.poll_buckets import (
    COLD_SPAN,
    HOT,
    RINGS,
    WARM,
    Bucket,
    BucketLayout,
    BucketWrite,
    ring_of_bucket,
    ring_size,
)
from stream_app.domain.poll_sets import PollSets
from stream_app.domain.polls import between, poll_set, to_bytes
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, WEEK
from stream_app.errors import RecordError, ReportError
from tests.strategies import Poll

usual = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

MONTH = 30 * DAY
SHORT = 8 * DAY
START = 2_860 * WEEK  # in 2024, the first instant of a week's bucket


def small(retention: int) -> BucketLayout:
    """Return a layout whose levels are soon full."""
    return BucketLayout(retention, hot=2, warm=5)


@dataclass
class Store:
    """The buckets of one store in a dictionary."""

    layout: BucketLayout
    content: dict[Bucket, array[int]] = field(default_factory=dict)

    def read(self, bucket: Bucket) -> array[int]:
        return self.content.get(bucket, array("q"))

    def add(self, *batch: Poll, crash_after: int | None = None) -> list[BucketWrite]:
        """Write a batch; with `crash_after` only that many of its first writes."""
        writes = self.layout.writes(poll_set(batch), self.read)
        for write in writes[:crash_after]:
            self.content[write.bucket] = write.polls
        return writes

    def polls(self, first: int, last: int) -> array[int]:
        kinds = {ring_of_bucket(bucket) for bucket in self.content}
        contents = [
            (bucket, self.read(bucket)) for bucket in self.layout.buckets(first, last, kinds)
        ]
        self.layout.check_kept(first, last, contents)
        polls = PollSets.of_bytes([b"".join(to_bytes(content) for _, content in contents)])
        return polls.between(first, last).set_of(0)

    def answer(self, first: int, last: int) -> array[int] | None:
        """Return the polls of `[first, last]`, or None where the store refuses to read them."""
        try:
            return self.polls(first, last)
        except ReportError:
            return None


Batch = list[Poll]


def instants(span: int) -> st.SearchStrategy[int]:
    """Draw instants of `[START + 3 d, START + 3 d + span]`, many on the edges of buckets."""
    first = START + 3 * DAY
    edges = st.builds(
        lambda unit, number, shift: min(max(first + number * unit + shift, first), first + span),
        st.sampled_from([6 * HOUR, DAY, COLD_SPAN]),
        st.integers(0, span // DAY),
        st.sampled_from([-1, 0, 1, HOUR]),
    )
    return st.one_of(edges, st.integers(first, first + span))


def batches(span: int, most: int = 10) -> st.SearchStrategy[list[Batch]]:
    """Draw single polls and bulk batches, in any order and with repetitions."""
    poll = st.tuples(instants(span), st.booleans())
    batch = st.one_of(st.lists(poll, min_size=1, max_size=1), st.lists(poll, min_size=1))
    return st.lists(batch, min_size=1, max_size=most).flatmap(
        lambda some: st.builds(
            lambda again: [*some, *again], st.lists(st.sampled_from(some), max_size=4)
        )
    )


def all_of(some: list[Batch]) -> array[int]:
    return poll_set(poll for batch in some for poll in batch)


@usual
@given(batches(MONTH), instants(MONTH), instants(MONTH))
def test_a_report_reads_every_poll_within_the_retention(
    some: list[Batch], one: int, other: int
) -> None:
    first, last = sorted((one, other))
    store = Store(small(MONTH))
    for batch in some:
        store.add(*batch)

    assert store.polls(first, last) == between(all_of(some), first, last)
    assert store.polls(START + 3 * DAY, START + 3 * DAY + MONTH) == all_of(some)


@usual
@given(batches(MONTH), st.data())
def test_a_crash_at_any_write_and_a_redelivery_end_in_the_same_polls(
    some: list[Batch], data: st.DataObject
) -> None:
    store = Store(small(MONTH))
    position = 0
    crashes = 0
    while position < len(some):
        if crashes < 6 and data.draw(st.booleans()):
            crashes += 1
            store.add(*some[position], crash_after=data.draw(st.integers(0, 5)))
            # Kafka redelivers uncommitted batches, from this one or an earlier one
            position = data.draw(st.integers(0, position))
        else:
            store.add(*some[position])
            position += 1

    assert store.polls(START + 3 * DAY, START + 3 * DAY + MONTH) == all_of(some)


@usual
@given(batches(MONTH))
def test_nothing_is_missing_between_the_writes_of_a_batch(some: list[Batch]) -> None:
    store = Store(small(MONTH))
    applied: list[Batch] = []
    for batch in some:
        for write in store.layout.writes(poll_set(batch), store.read):
            store.content[write.bucket] = write.polls
            readable = set(store.polls(START, START + 3 * DAY + MONTH))
            written_before = set(all_of(applied))
            # a poll of the batch may already have made an instant inactive
            assert {poll >> 1 for poll in written_before} <= {poll >> 1 for poll in readable}
            assert readable <= written_before | set(poll_set(batch))
        applied.append(batch)


def test_polls_in_the_hot_bucket_write_nothing_when_they_come_again() -> None:
    store = Store(BucketLayout(MONTH))
    pings = [(START + minute * MINUTE, True) for minute in range(20)]
    for ping in pings:
        store.add(ping)

    assert [write for ping in pings for write in store.add(ping)] == []


def test_a_bulk_batch_that_comes_again_writes_nothing() -> None:
    store = Store(BucketLayout(MONTH))
    batch = [(START + hour * HOUR, hour % 5 > 0) for hour in range(20 * 24)]
    assert len(store.add(*batch)) == 3

    assert store.add(*batch) == []
    assert store.add(*batch[40:90]) == []


def outcome(layout: BucketLayout, polls: array[int], first: int, last: int) -> array[int] | None:
    """Return the polls, or None where a week of the same slot is newer; the set alone decides."""
    weeks = {poll >> 1: (poll >> 1) // COLD_SPAN for poll in polls}.values()
    for week in range(first // COLD_SPAN, last // COLD_SPAN + 1):
        if any(newer > week and (newer - week) % layout.cold_slots == 0 for newer in weeks):
            return None
    return between(polls, first, last)


@usual
@given(batches(14 * WEEK), instants(14 * WEEK), st.integers(0, 8 * DAY))
def test_the_set_of_polls_decides_whether_a_report_is_exact_or_refused(
    some: list[Batch], first: int, length: int
) -> None:
    layout = small(SHORT)
    store, backwards, one_by_one = Store(layout), Store(layout), Store(layout)
    for batch in some:
        store.add(*batch)
    for batch in reversed(some):
        backwards.add(*batch)
    for poll in sorted({poll for batch in some for poll in batch}):
        one_by_one.add(poll)
    last = first + length

    assert store.answer(first, last) == outcome(layout, all_of(some), first, last)
    assert store.answer(first, last) == backwards.answer(first, last)
    assert store.answer(first, last) == one_by_one.answer(first, last)


@usual
@given(batches(14 * WEEK), st.integers(0, SHORT))
def test_a_time_within_the_retention_of_the_newest_poll_is_never_refused(
    some: list[Batch], back: int
) -> None:
    store = Store(small(SHORT))
    for batch in some:
        store.add(*batch)
    newest = all_of(some)[-1] >> 1

    assert store.polls(newest - back, newest) == between(all_of(some), newest - back, newest)


def test_polls_that_much_newer_ones_replace_are_dropped_and_refused() -> None:
    layout = small(SHORT)
    store = Store(layout)
    later = START + layout.cold_slots * WEEK
    store.add(*[(START + day * DAY, True) for day in range(3)])
    newer = [(later + day * DAY, day != 1) for day in range(3)]
    store.add(*newer)

    with pytest.raises(ReportError, match="no longer kept"):
        store.polls(START, START + DAY)
    assert sum(map(len, store.content.values())) == 3
    assert store.polls(later, later + 2 * DAY) == poll_set(newer)


def test_each_week_in_the_hot_bucket_refuses_the_polls_that_it_will_drop() -> None:
    layout = BucketLayout(SHORT)
    store = Store(layout)
    store.add((START, True))
    store.add((START + layout.cold_slots * WEEK, True))
    store.add((START + (layout.cold_slots + 1) * WEEK, True))

    with pytest.raises(ReportError, match="no longer kept"):
        store.polls(START, START + DAY)


def test_the_first_and_the_last_instant_of_a_week_are_kept_together() -> None:
    store = Store(small(SHORT))
    store.add((START, True), (START + WEEK - 1, True))

    assert len(store.polls(START, START + WEEK)) == 2


def test_a_poll_in_the_hot_bucket_refuses_the_polls_that_it_will_drop_when_it_moves() -> None:
    layout = small(SHORT)
    store = Store(layout)
    store.add((START, True), (START + DAY, True))
    store.add((START + layout.cold_slots * WEEK, True))

    with pytest.raises(ReportError, match="no longer kept"):
        store.polls(START, START + DAY)


@pytest.mark.parametrize("hour", range(-2, 3))
@pytest.mark.parametrize("retention", [SHORT, 14 * DAY, 21 * DAY])
def test_a_window_that_straddles_weeks_fits_the_shortest_retention(
    retention: int, hour: int
) -> None:
    store = Store(small(retention))
    reference = START + WEEK + hour * HOUR // 2
    store.add((reference, True))

    assert len(store.polls(reference - WEEK - HOUR, reference)) == 1


def test_a_time_longer_than_the_ring_is_refused() -> None:
    layout = small(SHORT)

    with pytest.raises(ReportError, match="longer than the retention"):
        Store(layout).polls(START, START + layout.cold_slots * WEEK)


# -- costs of a write


def test_a_ping_writes_the_hot_bucket_alone_until_it_is_full() -> None:
    store = Store(BucketLayout(MONTH))

    for minute in range(buckets.MAX_HOT_POLLS):
        (write,) = store.add((START + minute * MINUTE, True))
        assert write.bucket == HOT


def test_a_full_hot_bucket_moves_before_it_is_written_anew() -> None:
    store = Store(small(MONTH))
    pings = [(START + minute * MINUTE, True) for minute in range(3)]
    for ping in pings[:2]:
        store.add(ping)

    assert store.add(pings[2]) == [
        BucketWrite(WARM, poll_set(pings[:2])),
        BucketWrite(HOT, poll_set(pings[2:])),
    ]


def test_a_full_warm_bucket_moves_to_its_weeks_first() -> None:
    store = Store(small(MONTH))
    pings = [(START + number * 5 * DAY, True) for number in range(7)]
    for ping in pings[:6]:
        store.add(ping)

    *cold, warm, hot = store.add(pings[6])

    assert [write.polls for write in cold] == [
        poll_set(pings[:2]),
        poll_set(pings[2:3]),
        poll_set(pings[3:4]),
    ]
    assert warm == BucketWrite(WARM, poll_set(pings[4:6]))
    assert hot == BucketWrite(HOT, poll_set(pings[6:]))


@usual
@given(st.lists(st.tuples(instants(MONTH), st.booleans()), min_size=1))
def test_a_bulk_batch_writes_one_bucket_a_week(some: list[Poll]) -> None:
    # too many for the hot bucket
    some = [*some, *((START + minute * MINUTE, True) for minute in range(buckets.MAX_HOT_POLLS))]
    store = Store(BucketLayout(MONTH))

    written = [write.bucket for write in store.add(*some)]

    assert sorted(bucket.slot for bucket in written) == sorted(
        {store.layout.cold_bucket(instant).slot for instant, _ in some}
    )
    assert all(bucket.cold for bucket in written)


def bytes_a_ping(step: int, days: int = 35) -> float:
    """Return the bytes written to the changelog per ping, for a ping every `step` over `days`."""
    store = Store(BucketLayout(400 * DAY))
    pings = days * DAY // step
    written = sum(
        len(to_bytes(write.polls))
        for number in range(pings)
        for write in store.add((START + number * step, True))
    )
    return written / pings


def test_a_ping_a_minute_costs_little_more_than_a_ping_an_hour() -> None:
    every_minute, every_hour = bytes_a_ping(MINUTE), bytes_a_ping(HOUR)

    assert every_minute < 300
    assert every_hour > 150
    assert every_minute < 2 * every_hour


def test_the_number_of_writes_a_ping_does_not_depend_on_its_pace() -> None:
    for step in (10 * SECOND, MINUTE, HOUR, DAY):
        store = Store(BucketLayout(400 * DAY))
        writes = sum(len(store.add((START + number * step, True))) for number in range(400))
        assert writes == 400 + (400 - 1) // buckets.MAX_HOT_POLLS


def test_the_number_of_keys_is_bounded_for_ever() -> None:
    layout = small(SHORT)
    store = Store(layout)
    for day in range(20 * 365):
        now = START + day * DAY
        store.add((now, True))
        if day % 7 == 0:
            store.add((now - 3 * DAY, True), (now - DAY, False))

    assert len(store.content) <= 2 + layout.cold_slots
    assert sum(map(len, store.content.values())) < 100


# -- limits of a week


def crowd(start: int, count: int, step: int) -> array[int]:
    return array("q", (start + number * step << 1 | 1 for number in range(count)))


def test_a_full_record_fits_the_changelog() -> None:
    assert 8 * buckets.MAX_WEEK_POLLS < MAX_STATE_BYTES - 1000
    assert buckets.MAX_WEEK_POLLS > WEEK // SECOND


def test_more_polls_in_a_week_than_batches_may_bring_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buckets, "MAX_BATCH_WEEK_POLLS", 3)
    store = Store(small(MONTH))
    batch = [(START + day * DAY, True) for day in range(3)]
    store.add(*batch)

    with pytest.raises(RecordError, match="more than 3 polls of one store in one week"):
        store.add((START, True), (START + 4 * DAY, True), (START + 5 * DAY, True))
    assert store.add(*batch) == []


def test_pings_may_fill_a_week_further_than_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "MAX_BATCH_WEEK_POLLS", 3)
    store = Store(small(MONTH))
    pings = [(START + minute * MINUTE, True) for minute in range(60)]
    for ping in pings:
        store.add(ping)

    assert store.polls(START, START + HOUR) == poll_set(pings)


def test_a_full_week_does_not_stop_the_later_pings_of_a_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buckets, "MAX_BATCH_WEEK_POLLS", 8)
    monkeypatch.setattr(buckets, "MAX_WEEK_POLLS", 8)
    store = Store(small(MONTH))
    accepted, refused = [], []
    for minute in range(30):
        ping = (START + minute * MINUTE, True)
        try:
            store.add(ping)
        except RecordError:
            refused.append(ping)
        else:
            accepted.append(ping)
    assert 8 <= len(accepted) <= 15
    assert refused[0] > accepted[-1]
    # the full week must not refuse the pings of later weeks
    later = [(START + WEEK + minute * MINUTE, True) for minute in range(4)]
    for ping in later:
        store.add(ping)

    assert store.polls(START, START + 2 * WEEK) == poll_set([*accepted, *later])
    assert max(map(len, store.content.values())) <= 8
    with pytest.raises(RecordError, match="in one week"):
        store.add((START + 2 * HOUR, True))


# -- another retention on the same table


def test_rings_have_slots_of_their_own() -> None:
    slots = [slot for ring in RINGS for slot in range(ring, 2 * ring)]

    assert len(set(slots)) == len(slots)
    assert max(slots) < 1 << 16  # a table key has two bytes for the slot


@pytest.mark.parametrize("days", [8, 14, 15, 49, 50, 400, 441, 442, 4000])
def test_two_weeks_of_a_slot_are_further_apart_than_the_retention(days: int) -> None:
    layout = BucketLayout(days * DAY)

    assert (layout.cold_slots - 1) * WEEK >= days * DAY
    assert layout.cold_slots in RINGS


retentions = st.sampled_from([SHORT, 20 * DAY, MONTH, 400 * DAY, 4000 * DAY])


@usual
@given(
    st.lists(st.tuples(retentions, batches(14 * WEEK, most=4)), min_size=2, max_size=4),
    instants(14 * WEEK),
    st.integers(0, 8 * DAY),
)
def test_after_a_change_of_retention_a_report_is_exact_or_refused(
    phases: list[tuple[int, list[Batch]]], first: int, length: int
) -> None:
    store = Store(small(SHORT))
    for retention, some in phases:
        store.layout = small(retention)
        for batch in some:
            store.add(*batch)
    everything = all_of([batch for _, some in phases for batch in some])

    polls = store.answer(first, first + length)

    assert polls is None or polls == between(everything, first, first + length)


@usual
@given(st.lists(st.tuples(retentions, batches(SHORT, most=4)), min_size=2, max_size=4), retentions)
def test_a_change_of_retention_loses_no_poll_that_each_retention_keeps(
    phases: list[tuple[int, list[Batch]]], last_retention: int
) -> None:
    store = Store(small(SHORT))
    for retention, some in phases:
        store.layout = small(retention)
        for batch in some:
            store.add(*batch)
    store.layout = small(last_retention)

    assert store.polls(START + 3 * DAY, START + 3 * DAY + SHORT) == all_of(
        [batch for _, some in phases for batch in some]
    )


def test_buckets_of_earlier_layouts_are_read_too() -> None:
    # an earlier layout: a ring of five buckets, of six hours each
    store = Store(BucketLayout(MONTH))
    old = {
        Bucket(cold=False, slot=slot): poll_set([(START + slot * 6 * HOUR, slot % 2 > 0)])
        for slot in range(5)
    }
    store.content |= old
    for minute in range(100):
        store.add((START + 2 * DAY + minute * MINUTE, True))

    read = store.polls(START, START + 3 * DAY)

    assert len(read) == 105
    assert {poll for polls in old.values() for poll in polls} <= set(read)


@pytest.mark.parametrize("ring", RINGS)
def test_a_slot_tells_its_ring(ring: int) -> None:
    assert {ring_size(Bucket(cold=True, slot=slot)) for slot in (ring, 2 * ring - 1)} == {ring}


def test_buckets_are_eight_bytes_a_poll() -> None:
    store = Store(BucketLayout(MONTH))
    store.add(*[(START + hour * HOUR, True) for hour in range(7 * 24)])

    assert [len(to_bytes(polls)) for polls in store.content.values()] == [8 * 7 * 24]


@given(batches(6 * SHORT), batches(6 * SHORT, most=1))
def test_polls_too_late_for_any_report_are_named_and_change_none(
    some: list[Batch], last: list[Batch]
) -> None:
    layout = small(SHORT)
    store, other = Store(layout), Store(layout)
    for batch in some:
        store.add(*batch)
        other.add(*batch)
    for batch in last:
        late = layout.late(poll_set(batch), store.read)
        in_time = [poll for poll in batch if poll[0] << 1 | poll[1] not in late]
        if in_time:
            store.add(*in_time)
        other.add(*batch)

        everything = all_of([*some, *last])
        for poll in late:
            assert poll in poll_set(batch)
            # a report of its time is refused, with this poll or without it
            instant = poll >> 1
            assert store.answer(instant, instant) is None
            assert other.answer(instant, instant) is None
        for instant in {poll >> 1 for poll in everything}:
            assert store.answer(instant, instant) == other.answer(instant, instant)


@pytest.mark.parametrize("weeks", [57, 58, 63, 65, 127, 129])
def test_older_polls_of_another_slot_are_not_late(weeks: int) -> None:
    store = Store(BucketLayout(400 * DAY))
    newest_poll = START + 200 * WEEK + 6 * DAY
    store.add(*[(newest_poll - hour * HOUR, True) for hour in range(100)])
    batch = poll_set([(newest_poll - weeks * WEEK - hour * HOUR, True) for hour in range(40)])
    assert not store.layout.late(batch, store.read)


@pytest.mark.parametrize("weeks", [64, 128])
@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("newer_polls", [1, 100])
def test_polls_of_a_slot_that_has_much_newer_ones_are_late(
    weeks: int, count: int, newer_polls: int
) -> None:
    store = Store(BucketLayout(400 * DAY))
    newest_poll = START + 200 * WEEK + 6 * DAY
    # a single poll stays in the hot bucket, a hundred are in the bucket of their week
    store.add(*[(newest_poll - hour * HOUR, True) for hour in range(newer_polls)])
    old = newest_poll - weeks * WEEK - HOUR
    batch = poll_set([(old - hour * HOUR, True) for hour in range(count)])
    assert store.layout.late(batch, store.read) == batch
    # in any order within one batch: the newest poll of the slot is in the batch itself
    both = poll_set([(newest_poll, True), *((poll >> 1, True) for poll in batch)])
    assert Store(store.layout).layout.late(both, lambda _: array("q")) == batch


def test_a_write_tells_how_many_polls_have_expired() -> None:
    layout = small(SHORT)
    store = Store(layout)
    store.add(*[(START + day * DAY, True) for day in range(3)])
    later = START + layout.cold_slots * WEEK
    writes = store.add(*[(later + day * DAY, True) for day in range(4)])
    assert sum(write.expired for write in writes) == 3
