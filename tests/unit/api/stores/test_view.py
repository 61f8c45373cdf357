from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from api.stores.view import StoreEntry, StoreView
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.revisions import ORIGIN_HEADER, encode_origin, origin_of
from stream_app.contracts.stores import StoreRecord, encode_store, encode_timezone
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_TIMEZONES, STORES, TopicSpec
from stream_app.errors import RecordError
from tests.fake_record import FakeRecord
from tests.unit.api.answers import STORE, UNKNOWN
from tests.unit.contracts.wire import unchecked_hours

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTITIONS = 8
HOURS = [(0, "09:00", "17:00"), (1, "10:00", "24:00")]


@pytest.fixture
def view() -> Iterator[StoreView]:
    view = StoreView(Path(":memory:"), PARTITIONS)
    yield view
    view.close()


def record(
    spec: TopicSpec, value: bytes | None, store_id: str = STORE, moved: int = 0
) -> FakeRecord:
    """Return a record on its right partition, or `moved` partitions behind it."""
    right = partition_of(store_id.encode(), PARTITIONS)
    return FakeRecord(spec.name, value, partition=(right + moved) % PARTITIONS)


def hours(rows: Any = HOURS, moved: int = 0) -> FakeRecord:
    return record(STORE_BUSINESS_HOURS, unchecked_hours(STORE, rows), moved=moved)


def zone(name: str = "Europe/London", moved: int = 0) -> FakeRecord:
    return record(STORE_TIMEZONES, encode_timezone(STORE, name), moved=moved)


def registered(store_id: str) -> FakeRecord:
    return record(STORES, encode_store(StoreRecord(store_id)), store_id)


def test_a_store_that_no_record_names_is_unknown(view: StoreView) -> None:
    view.on_record(registered(UNKNOWN))
    assert not view.exists(STORE)
    assert view.get(STORE) is None


@pytest.mark.parametrize(
    ("records", "entry"),
    [
        ([registered(STORE)], StoreEntry(STORE)),
        ([hours()], StoreEntry(STORE, tuple(HOURS))),
        ([zone()], StoreEntry(STORE, (), "Europe/London")),
        ([zone("Mars/Base")], StoreEntry(STORE, (), "Mars/Base")),
        ([hours(), zone(), registered(STORE)], StoreEntry(STORE, tuple(HOURS), "Europe/London")),
        ([registered(STORE), zone(), hours()], StoreEntry(STORE, tuple(HOURS), "Europe/London")),
        ([hours(), hours([(6, " 8:00", "9:00 ")])], StoreEntry(STORE, ((6, "8:00", "9:00"),))),
        ([hours(), hours([])], StoreEntry(STORE)),
        ([zone(), zone("UTC")], StoreEntry(STORE, (), "UTC")),
    ],
)
def test_the_last_record_of_each_kind_counts(
    view: StoreView, records: list[FakeRecord], entry: StoreEntry
) -> None:
    for each in records:
        view.on_record(each)
    assert view.exists(STORE)
    assert view.get(STORE) == entry


@pytest.mark.parametrize(
    "bad",
    [
        hours(moved=1),
        zone("UTC", moved=3),
        hours([(7, "09:00", "17:00")]),
        hours([(0, "09:00", "17:00"), (1, "25:00", "17:00")]),
        record(STORE_BUSINESS_HOURS, b"nonsense"),
        record(STORE_TIMEZONES, None),
        record(STORES, b"{}"),
    ],
)
def test_a_record_that_the_workers_do_not_apply_does_not_count(
    view: StoreView, bad: FakeRecord
) -> None:
    for good in ((), (hours(), zone())):
        for each in good:
            view.on_record(each)
        # a record on a wrong partition is forwarded, and is no error
        with suppress(RecordError):
            view.on_record(bad)
        assert view.exists(STORE) == bool(good)
    assert view.get(STORE) == StoreEntry(STORE, tuple(HOURS), "Europe/London")


def forwarded(value: bytes, spec: Any, appended_at: int) -> FakeRecord:
    """Return the record that a worker forwards after one on a wrong partition at a time in ms."""
    sent = record(spec, value, moved=1)
    sent.timestamp = appended_at
    copy = record(spec, value)
    copy.timestamp = 9_000
    copy.headers = [(ORIGIN_HEADER, encode_origin(origin_of(sent)))]
    return copy


@pytest.mark.parametrize(("appended_at", "counts"), [(4_999, False), (5_000, False), (5_001, True)])
def test_a_forwarded_record_counts_if_the_broker_appended_it_later(
    view: StoreView, appended_at: int, counts: bool
) -> None:
    for each in (hours(), zone()):
        each.timestamp = 5_000
        view.on_record(each)
    view.database.execute("UPDATE store SET reevaluate_at = 1")
    late = [
        forwarded(encode_hours(STORE, [(6, "08:00", "09:00")]), STORE_BUSINESS_HOURS, appended_at),
        forwarded(encode_timezone(STORE, "UTC"), STORE_TIMEZONES, appended_at),
    ]
    for each in late + late:
        view.on_record(each)
    changed = StoreEntry(STORE, ((6, "08:00", "09:00"),), "UTC")
    assert view.get(STORE) == (
        changed if counts else StoreEntry(STORE, tuple(HOURS), "Europe/London")
    )
    # the view of the fleet evaluates a changed store again
    (reevaluate_at,) = view.database.execute("SELECT reevaluate_at FROM store").fetchone()
    assert reevaluate_at == (0 if counts else 1)


def test_pages_are_in_order_and_complete(view: StoreView) -> None:
    ids = [f"{n:02x}000000-0000-4000-8000-000000000000" for n in range(0, 256, 5)]
    for store_id in reversed(ids):
        view.on_record(registered(store_id))
    seen: list[str] = []
    while page := view.page("", seen[-1] if seen else "", 7):
        seen += page
    assert seen == ids
    assert view.page("f", "", 100) == [i for i in ids if i.startswith("f")]
    assert view.page("f", ids[-2], 100) == ids[-1:]
    assert view.page("0f000000-", ids[0], 100) == [ids[3]]
    assert view.page("ff0000001", "", 100) == []
