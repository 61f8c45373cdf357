"""A store's buckets hold its polls as one set, whatever the order, the batches and the crashes."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.contracts.topics import MAX_STATE_BYTES
from stream_app.domain import buckets
from stream_app.domain.buckets import (
    COLD_SPAN,
    HOT_SLOTS,
    HOT_SPAN,
    RINGS,
    Bucket,
    BucketLayout,
    BucketWrite,
)
from stream_app.domain.instants import DAY, HOUR, MINUTE, SECOND, WEEK
from stream_app.domain.polls import between, poll_set, to_bytes
from stream_app.errors import RecordError, ReportError
from tests.strategies import Poll

usual = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

MONTH = 30 * DAY
SHORT = 8 * DAY
START = 2_860 * WEEK  # in 2024, the first instant of a week's bucket


@dataclass
class Store:
    """The buckets of one store in a dictionary."""

    layout: BucketLayout
    content: dict[Bucket, array[int]] = field(default_factory=dict)

    def read(self, bucket: Bucket) -> array[int]:
        return self.content.get(bucket, array("q"))

    def add(self, *batch: Poll, crash_after: int | None = None) -> list[BucketWrite]:
        """Write a batch; with `crash_after` only its first so many writes."""
        writes = self.layout.writes(poll_set(batch), self.read)
        for write in writes[:crash_after]:
            self.content[write.bucket] = write.polls
        return writes

    def polls(self, first: int, last: int) -> array[int]:
        return self.layout.polls(first, last, self.read)

    def answer(self, first: int, last: int) -> array[int] | None:
        """None: refused."""
        try:
            return self.polls(first, last)
        except ReportError:
            return None


Batch = list[Poll]


def instants(span: int) -> st.SearchStrategy[int]:
    """Instants of `[START + 3 d, START + 3 d + span]`, many on the edges of buckets."""
    first = START + 3 * DAY
    edges = st.builds(
        lambda unit, number, shift: min(max(first + number * unit + shift, first), first + span),
        st.sampled_from([HOT_SPAN, HOT_SPAN * HOT_SLOTS, DAY, COLD_SPAN]),
        st.integers(0, span // DAY),
        st.sampled_from([-1, 0, 1, HOUR]),
    )
    return st.one_of(edges, st.integers(first, first + span))


def batches(span: int, most: int = 10) -> st.SearchStrategy[list[Batch]]:
    """Pings, and bulk batches, in any order and with repetitions."""
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
    store = Store(BucketLayout(MONTH))
    for batch in some:
        store.add(*batch)

    assert store.polls(first, last) == between(all_of(some), first, last)
    assert store.polls(START + 3 * DAY, START + 3 * DAY + MONTH) == all_of(some)


@usual
@given(batches(MONTH), st.data())
def test_a_crash_at_any_write_and_a_redelivery_end_in_the_same_polls(
    some: list[Batch], data: st.DataObject
) -> None:
    store = Store(BucketLayout(MONTH))
    position = 0
    crashes = 0
    while position < len(some):
        if crashes < 6 and data.draw(st.booleans()):
            crashes += 1
            store.add(*some[position], crash_after=data.draw(st.integers(0, 5)))
            # what was not committed comes again, from here or from further back
            position = data.draw(st.integers(0, position))
        else:
            store.add(*some[position])
            position += 1

    assert store.polls(START + 3 * DAY, START + 3 * DAY + MONTH) == all_of(some)


@usual
@given(batches(MONTH))
def test_nothing_is_missing_between_the_writes_of_a_batch(some: list[Batch]) -> None:
    store = Store(BucketLayout(MONTH))
    known: list[Batch] = []
    for batch in some:
        for write in store.layout.writes(poll_set(batch), store.read):
            store.content[write.bucket] = write.polls
            found = set(store.polls(START, START + 3 * DAY + MONTH))
            there = set(all_of(known))
            # inactive may already have won over what was known before
            assert {poll >> 1 for poll in there} <= {poll >> 1 for poll in found}
            assert found <= there | set(poll_set(batch))
        known.append(batch)


@usual
@given(batches(MONTH))
def test_what_came_before_writes_nothing_when_it_comes_again(some: list[Batch]) -> None:
    store = Store(BucketLayout(MONTH))
    for batch in some:
        store.add(*batch)

    assert [write for batch in some for write in store.add(*batch)] == []


def outcome(layout: BucketLayout, polls: array[int], first: int, last: int) -> array[int] | None:
    """What the set alone determines: refused where a week of the same slot is newer."""
    weeks = {poll >> 1: (poll >> 1) // COLD_SPAN for poll in polls}.values()
    for week in range(first // COLD_SPAN, last // COLD_SPAN + 1):
        if any(newer > week and (newer - week) % layout.cold_slots == 0 for newer in weeks):
            return None
    return between(polls, first, last)


@usual
@given(batches(14 * WEEK), instants(14 * WEEK), st.integers(0, 8 * DAY))
def test_a_report_is_exact_or_refused_and_the_set_decides_which(
    some: list[Batch], first: int, length: int
) -> None:
    layout = BucketLayout(SHORT)
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
def test_what_is_within_the_retention_of_the_newest_poll_is_never_refused(
    some: list[Batch], back: int
) -> None:
    store = Store(BucketLayout(SHORT))
    for batch in some:
        store.add(*batch)
    newest = all_of(some)[-1] >> 1

    assert store.polls(newest - back, newest) == between(all_of(some), newest - back, newest)


def test_polls_that_much_newer_ones_replace_are_dropped_and_refused() -> None:
    layout = BucketLayout(SHORT)
    store = Store(layout)
    later = START + layout.cold_slots * WEEK
    store.add((START, True), (START + DAY, True))
    store.add((later, True), (later + DAY, False))

    with pytest.raises(ReportError, match="no longer kept"):
        store.polls(START, START + DAY)
    assert sum(map(len, store.content.values())) == 2
    assert store.polls(later, later + DAY) == poll_set([(later, True), (later + DAY, False)])


def test_the_first_and_the_last_instant_of_a_week_are_kept_together() -> None:
    store = Store(BucketLayout(SHORT))
    store.add((START, True), (START + WEEK - 1, True))

    assert len(store.polls(START, START + WEEK)) == 2


def test_a_hot_poll_refuses_what_it_will_drop_when_it_moves() -> None:
    layout = BucketLayout(SHORT)
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
    store = Store(BucketLayout(retention))
    reference = START + WEEK + hour * HOUR // 2
    store.add((reference, True))

    assert len(store.polls(reference - WEEK - HOUR, reference)) == 1


def test_a_time_longer_than_the_ring_is_refused() -> None:
    layout = BucketLayout(SHORT)

    with pytest.raises(ReportError, match="longer than the retention"):
        Store(layout).polls(START, START + layout.cold_slots * WEEK)


# -- what it costs


def test_a_ping_writes_one_bucket() -> None:
    store = Store(BucketLayout(MONTH))

    for minute in range(6 * 60):
        (write,) = store.add((START + minute * MINUTE, True))
        assert write.bucket == Bucket(cold=False, slot=START // HOT_SPAN % HOT_SLOTS)


def test_a_ping_that_takes_over_a_slot_writes_the_cold_bucket_first() -> None:
    store = Store(BucketLayout(MONTH))
    store.add((START, True))
    taken = START + HOT_SLOTS * HOT_SPAN

    cold, hot = store.add((taken, False))

    assert cold == BucketWrite(store.layout.cold_bucket(START), poll_set([(START, True)]))
    assert hot == BucketWrite(store.layout.hot_bucket(START), poll_set([(taken, False)]))


def test_a_late_ping_whose_slot_is_taken_writes_the_cold_bucket_alone() -> None:
    store = Store(BucketLayout(MONTH))
    store.add((START + HOT_SLOTS * HOT_SPAN, True))

    (write,) = store.add((START, True))

    assert write.bucket == store.layout.cold_bucket(START)


@usual
@given(st.lists(st.tuples(instants(MONTH), st.booleans()), min_size=1))
def test_a_bulk_batch_writes_one_bucket_a_week(some: list[Poll]) -> None:
    # a span of its own on either side, so that no hot bucket takes the batch
    some = [*some, (START, True), (START + HOT_SPAN, True)]
    store = Store(BucketLayout(MONTH))

    written = [write.bucket for write in store.add(*some)]

    assert sorted(bucket.slot for bucket in written) == sorted(
        {store.layout.cold_bucket(instant).slot for instant, _ in some}
    )
    assert all(bucket.cold for bucket in written)


def test_what_live_pings_rewrite_is_bounded_by_six_hours() -> None:
    store = Store(BucketLayout(MONTH))
    step = 5 * MINUTE
    largest = 0
    folds = 0
    for number in range(21 * DAY // step):
        writes = store.add((START + number * step, True))
        largest = max(largest, len(writes[-1].polls))
        folds += len(writes) - 1
        assert not writes[-1].bucket.cold

    assert largest == HOT_SPAN // step
    assert folds == 21 * DAY // HOT_SPAN - HOT_SLOTS  # each six hours move once


def test_the_number_of_keys_is_bounded_for_ever() -> None:
    layout = BucketLayout(SHORT)
    store = Store(layout)
    for day in range(20 * 365):
        now = START + day * DAY
        store.add((now, True))
        if day % 7 == 0:
            store.add((now - 3 * DAY, True), (now - DAY, False))

    assert len(store.content) <= HOT_SLOTS + layout.cold_slots
    assert sum(map(len, store.content.values())) < 100


# -- too much


def crowd(start: int, count: int, step: int) -> array[int]:
    return array("q", (start + number * step << 1 | 1 for number in range(count)))


def test_a_full_record_fits_the_changelog() -> None:
    hot_buckets = COLD_SPAN // HOT_SPAN
    most = buckets.MAX_COLD_POLLS + hot_buckets * buckets.MAX_HOT_POLLS

    assert 8 * most < MAX_STATE_BYTES - 1000


def test_more_pings_in_six_hours_than_a_bucket_takes_are_kept_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buckets, "MAX_HOT_POLLS", 3)
    store = Store(BucketLayout(MONTH))
    pings = [(START + second * SECOND, second % 3 > 0) for second in range(11)]

    writes = [store.add(ping) for ping in pings]

    assert store.polls(START, START + HOUR) == poll_set(pings)
    # the week is rewritten when the hot bucket is full, not by every ping
    assert [len(each) for each in writes] == [1, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1]
    assert store.add(pings[-1]) == []  # what is there may come again


def test_more_polls_in_a_week_than_a_bucket_takes_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buckets, "MAX_COLD_POLLS", 3)
    store = Store(BucketLayout(MONTH))
    batch = [(START + day * DAY, True) for day in range(3)]
    store.add(*batch)

    with pytest.raises(RecordError, match="more than 3 polls of one store in one week"):
        store.add((START, True), (START + 5 * DAY, True))
    assert store.add(*batch) == []


def test_a_batch_too_large_for_a_hot_bucket_goes_to_the_cold_one() -> None:
    store = Store(BucketLayout(MONTH))
    batch = crowd(START, buckets.MAX_HOT_POLLS + 1, 1000)

    (write,) = store.layout.writes(batch, store.read)

    assert write == BucketWrite(store.layout.cold_bucket(START), batch)


def test_a_full_week_never_keeps_a_store_from_going_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # or every ping of that slot would be refused for ever
    monkeypatch.setattr(buckets, "MAX_COLD_POLLS", 3)
    store = Store(BucketLayout(MONTH))
    store.add(*[(START + day * DAY, True) for day in (0, 2, 4)])
    store.add((START + HOUR, False))

    store.add((START + HOT_SLOTS * HOT_SPAN + HOUR, True))

    assert len(store.polls(START, START + WEEK)) == 5


# -- another retention on the same table


def test_rings_have_slots_of_their_own() -> None:
    slots = [slot for ring in RINGS for slot in range(ring, 2 * ring)]

    assert len(set(slots)) == len(slots)
    assert max(slots) < 1 << 16  # what a table key has room for


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
    store = Store(BucketLayout(SHORT))
    for retention, some in phases:
        store.layout = BucketLayout(retention)
        for batch in some:
            store.add(*batch)
    everything = all_of([batch for _, some in phases for batch in some])

    found = store.answer(first, first + length)

    assert found is None or found == between(everything, first, first + length)


@usual
@given(st.lists(st.tuples(retentions, batches(SHORT, most=4)), min_size=2, max_size=4), retentions)
def test_a_change_of_retention_loses_nothing_that_every_one_of_them_keeps(
    phases: list[tuple[int, list[Batch]]], last_retention: int
) -> None:
    store = Store(BucketLayout(SHORT))
    for retention, some in phases:
        store.layout = BucketLayout(retention)
        for batch in some:
            store.add(*batch)
    store.layout = BucketLayout(last_retention)

    assert store.polls(START + 3 * DAY, START + 3 * DAY + SHORT) == all_of(
        [batch for _, some in phases for batch in some]
    )


def test_buckets_are_eight_bytes_a_poll() -> None:
    store = Store(BucketLayout(MONTH))
    store.add(*[(START + hour * HOUR, True) for hour in range(7 * 24)])

    assert [len(to_bytes(polls)) for polls in store.content.values()] == [8 * 7 * 24]
