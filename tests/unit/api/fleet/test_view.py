"""The view knows every store's state by its business hours, timezone and newest poll."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytz

from api.fleet import pages as pages_module
from api.fleet import state as state_module
from api.fleet import view as module
from api.fleet.pages import FleetQuery
from api.fleet.view import FleetView
from api.stores.view import StoreView
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import encode_poll
from stream_app.contracts.stores import StoreRecord, encode_store, encode_timezone
from stream_app.contracts.topics import (
    LATEST_POLLS,
    STORE_BUSINESS_HOURS,
    STORE_TIMEZONES,
    STORES,
)
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, WEEK, to_datetime
from stream_app.errors import RecordError
from tests.fake_record import FakeRecord
from tests.fakes import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from api.fleet.state import State

NOON = 1_710_072_000_000_000  # Sunday 2024-03-10T12:00:00Z; 07:00 in Chicago, whose clock changed
NINE_TO_FIVE = [(day, "09:00", "17:00") for day in range(7)]


def store(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


class Harness:
    """A fleet view over a view of the stores, and the records that a test sends to both."""

    def __init__(self) -> None:
        self.store_view = StoreView(Path(":memory:"), SETTINGS.partitions)
        self.view = FleetView(self.store_view.database, SETTINGS)

    def hours(self, store_id: str, rows: Any) -> None:
        self._apply(STORE_BUSINESS_HOURS, store_id, encode_hours(store_id, rows))

    def timezone(self, store_id: str, name: str) -> None:
        self._apply(STORE_TIMEZONES, store_id, encode_timezone(store_id, name))

    def exists(self, store_id: str) -> None:
        self._apply(STORES, store_id, encode_store(StoreRecord(store_id)))

    def poll(self, store_id: str, instant: int, *, active: bool = True) -> None:
        value = encode_poll(store_id, instant, active=active)
        self.view.on_record(FakeRecord(LATEST_POLLS.name, value))

    def _apply(self, spec: Any, store_id: str, value: bytes) -> None:
        partition = partition_of(store_id.encode(), SETTINGS.partitions)
        self.store_view.on_record(FakeRecord(spec.name, value, partition=partition))

    async def states(self, now: int, **query: Any) -> dict[str, State]:
        await self.view.advance_to(now)
        matching, stores = await self.view.page(FleetQuery(**query))
        assert matching >= len(stores)
        return {row.store_id: row.state for row in stores}


@pytest.fixture
def harness() -> Iterator[Harness]:
    harness = Harness()
    yield harness
    harness.store_view.close()


async def test_the_newest_poll_and_the_hours_decide_the_state(harness: Harness) -> None:
    for number, (instant, active) in enumerate(
        [(NOON, True), (NOON, False), (NOON - 2 * HOUR + 1, True), (NOON - 2 * HOUR, True)]
    ):
        harness.poll(store(number), instant, active=active)
    harness.exists(store(4))
    harness.hours(store(5), NINE_TO_FIVE)  # nine o'clock in Chicago has not come
    harness.poll(store(5), NOON)

    assert await harness.states(NOON) == {
        store(0): "up",
        store(1): "down",
        store(2): "up",
        store(3): "unknown",
        store(4): "unknown",
        store(5): "closed",
    }
    assert harness.view.counts() == {"up": 2, "down": 1, "unknown": 2, "closed": 1, "total": 6}


async def test_a_store_opens_and_closes_by_its_own_clock(harness: Harness) -> None:
    harness.hours(store(0), NINE_TO_FIVE)
    harness.timezone(store(0), "Asia/Kathmandu")
    opens = NOON + DAY - NOON % DAY + 3 * HOUR + 15 * MINUTE  # 09:00 at +5:45
    harness.poll(store(0), opens - 1)

    for now, state, opening_changes_at in [
        (opens - 1, "closed", opens),
        (opens, "up", opens + 8 * HOUR),
        (opens + 1, "up", opens + 8 * HOUR),
        (opens + 8 * HOUR, "closed", opens + DAY),
    ]:
        harness.poll(store(0), now)
        await harness.view.advance_to(now)
        (row,) = harness.view.stores([store(0)])
        assert (row.state, row.opening_changes_at, row.timezone) == (
            state,
            opening_changes_at,
            "Asia/Kathmandu",
        )


@pytest.mark.parametrize(
    ("rows", "state"), [((), "up"), (((0, "09:00", "09:00"),), "closed")], ids=["always", "never"]
)
async def test_a_store_that_is_always_or_never_open_has_no_next_change(
    harness: Harness, rows: Any, state: State
) -> None:
    harness.hours(store(0), rows)
    for now in (NOON, NOON + 7 * DAY, NOON + 100 * DAY):
        harness.poll(store(0), now)
        await harness.view.advance_to(now)
        (row,) = harness.view.stores([store(0)])
        assert (row.state, row.opening_changes_at) == (state, None)


async def test_new_hours_and_a_new_timezone_count_at_once(harness: Harness) -> None:
    harness.poll(store(0), NOON)
    assert await harness.states(NOON) == {store(0): "up"}

    harness.hours(store(0), NINE_TO_FIVE)
    assert await harness.states(NOON) == {store(0): "closed"}

    harness.timezone(store(0), "Europe/London")
    assert await harness.states(NOON) == {store(0): "up"}


async def test_the_view_follows_a_clock_that_goes_back(harness: Harness) -> None:
    """The wall clock counts until the first poll of a file of last year is replayed."""
    harness.hours(store(0), NINE_TO_FIVE)
    assert await harness.states(NOON + 4 * HOUR) == {store(0): "unknown"}

    assert await harness.states(NOON) == {store(0): "closed"}


async def test_an_older_poll_changes_nothing_and_at_one_instant_the_inactive_one_counts(
    harness: Harness,
) -> None:
    polls = [(NOON - 3, True), (NOON - 1, True), (NOON - 1, False), (NOON - 2, True)]
    for seed in range(8):
        random.Random(seed).shuffle(polls)
        for instant, active in polls:
            harness.poll(store(seed), instant, active=active)

    await harness.view.advance_to(NOON)
    rows = harness.view.stores([store(seed) for seed in range(8)])
    assert {(row.polled_at, row.active) for row in rows} == {(NOON - 1, False)}


async def test_the_worst_stores_come_first(harness: Harness) -> None:
    for number, active in enumerate([True, False, True, False]):
        harness.poll(store(number), NOON, active=active)
    harness.exists(store(4))
    harness.hours(store(5), NINE_TO_FIVE)
    await harness.view.set_figures(
        {
            **dict.fromkeys(state_module._FIGURES, 0.0),
            "store_id": store(number),
            "downtime_last_day": hours,
        }
        for number, hours in ((1, 2.5), (2, 1.5), (3, 20.0))
    )

    assert list(await harness.states(NOON)) == [store(n) for n in (3, 1, 4, 2, 0, 5)]
    assert list(await harness.states(NOON, sort="id")) == [store(n) for n in range(6)]
    (row,) = harness.view.stores([store(3)])
    assert row.figures is not None
    assert row.figures["downtime_last_day"] == 20.0


async def test_downtime_that_polls_cover_comes_before_time_without_data(harness: Harness) -> None:
    for number in range(4):
        harness.poll(store(number), NOON, active=False)
    figures = dict.fromkeys(state_module._FIGURES, 0.0)
    await harness.view.set_figures(
        {
            **figures,
            "store_id": store(number),
            "downtime_last_day": down,
            "unknown_downtime_last_day": unknown,
        }
        for number, down, unknown in (
            (0, 24.0, 24.0),
            (1, 9.5, 0.0),
            (2, 24.0, 23.0),
            (3, 3.0, 3.0),
        )
    )

    assert list(await harness.states(NOON)) == [store(n) for n in (1, 2, 0, 3)]


async def test_filters_and_pages_choose_the_stores(harness: Harness) -> None:
    for number in range(10):
        harness.poll(store(number), NOON - number, active=number % 2 == 0)
    harness.timezone(store(3), "Europe/Paris")

    assert set(await harness.states(NOON, states=("down",))) == {store(n) for n in (1, 3, 5, 7, 9)}
    assert set(await harness.states(NOON, states=("down", "up"), timezone="Europe/Paris")) == {
        store(3)
    }
    assert set(await harness.states(NOON, part="0007-")) == {store(7)}
    assert list(await harness.states(NOON, sort="last_poll", limit=3, offset=4)) == [
        store(n) for n in (4, 5, 6)
    ]
    assert (await harness.view.page(FleetQuery(limit=3)))[0] == 10
    assert harness.view.timezones() == ["America/Chicago", "Europe/Paris"]


async def test_only_changed_stores_are_reported(harness: Harness) -> None:
    harness.poll(store(0), NOON)
    harness.poll(store(1), NOON)
    harness.hours(store(2), [(6, "07:00", "07:30")])
    await harness.view.advance_to(NOON)
    harness.view.drain_changes()

    harness.poll(store(1), NOON + MINUTE)
    harness.poll(store(0), NOON - MINUTE)
    await harness.view.advance_to(NOON + MINUTE)
    assert harness.view.drain_changes() == ([store(1)], False)

    # store 2 closes, and later the polls of the other two are too old
    await harness.view.advance_to(NOON + 30 * MINUTE)
    assert harness.view.drain_changes() == ([store(2)], False)
    await harness.view.advance_to(NOON + 2 * HOUR)
    assert harness.view.drain_changes() == ([store(0)], False)
    await harness.view.advance_to(NOON + 3 * HOUR)
    assert harness.view.drain_changes() == ([store(1)], False)


async def test_the_number_of_remembered_changes_is_bounded(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CHANGED", 2)
    for number in range(3):
        harness.poll(store(number), NOON)

    assert harness.view.drain_changes() == ([store(0), store(1)], True)
    assert harness.view.drain_changes() == ([], False)


async def test_advancing_updates_only_the_stores_whose_instant_has_passed(harness: Harness) -> None:
    for number in range(50):
        harness.hours(store(number), [(6, f"{7 + number // 10:02}:00", "23:00")])
    await harness.view.advance_to(NOON)
    updates: set[str] = set()
    # SQLite reports a statement again for each trigger that it fires
    harness.store_view.database.set_trace_callback(
        lambda sql: updates.add(sql) if sql.startswith("UPDATE store") else None
    )

    await harness.view.advance_to(NOON + MINUTE)
    assert not updates
    await harness.view.advance_to(NOON + HOUR)
    assert len(updates) == 10


async def test_at_any_instant_a_store_is_open_as_its_local_clock_says(harness: Harness) -> None:
    rng = random.Random(5)
    zones = rng.sample(pytz.common_timezones, 40)
    for number, name in enumerate(zones):
        harness.timezone(store(number), name)
        harness.hours(store(number), NINE_TO_FIVE)
    now = NOON
    for _ in range(60):
        await harness.view.advance_to(now)
        rows = harness.view.stores([store(number) for number in range(40)])
        for row, name in zip(rows, zones, strict=True):
            local = to_datetime(now).astimezone(pytz.timezone(name))
            assert (row.state != "closed") == (9 <= local.hour < 17), (name, local)
        now += rng.randrange(WEEK // 10)


def test_a_record_that_cannot_be_read_changes_nothing(harness: Harness) -> None:
    for value in (None, b"", b"{}", b'{"store_id":5}'):
        with pytest.raises(RecordError):
            harness.view.on_record(FakeRecord(LATEST_POLLS.name, value))
    assert harness.view.drain_changes() == ([], False)


async def test_every_order_of_a_page_is_sql_that_runs(harness: Harness) -> None:
    for sort in pages_module.SORTS:
        try:
            await harness.view.page(FleetQuery(states=state_module.STATES, sort=sort))
        except sqlite3.Error as error:
            pytest.fail(f"{sort}: {error}")


class Steps:
    """Counts the work of SQLite in steps of 100 instructions of its virtual machine.

    Attributes:
        total: steps of the whole operation.
        longest: most steps between two turns of the event loop.
    """

    def __init__(self, harness: Harness) -> None:
        self.total = self.longest = self._since = 0
        harness.store_view.database.set_progress_handler(self._count, 100)

    def _count(self) -> int:
        self.total += 1
        self._since += 1
        self.longest = max(self.longest, self._since)
        return 0

    async def measure(self, waiting: Awaitable[Any]) -> Any:
        self.total = self.longest = self._since = 0
        ended = False

        async def reset_every_turn() -> None:
            while not ended:
                self._since = 0
                await asyncio.sleep(0)

        resetting = asyncio.create_task(reset_every_turn())
        try:
            return await waiting
        finally:
            ended = True
            await resetting


async def _add_stores(harness: Harness, first: int, end: int) -> None:
    for number in range(first, end):
        harness.poll(store(number), NOON - number % 7 * HOUR, active=number % 2 == 0)
        if number % 10 == 0:
            harness.timezone(store(number), "Europe/Paris")
    await harness.view.advance_to(NOON)


async def test_counts_and_first_pages_cost_no_more_where_there_are_more_stores(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "SLICE_STORES", 50)
    steps = Steps(harness)

    async def measure_all() -> list[int]:
        harness.view.counts()
        harness.view.timezones()
        totals = []
        for query in (
            *(FleetQuery(sort=sort, limit=20) for sort in pages_module.SORTS),
            FleetQuery(states=("up",), limit=20),
            FleetQuery(states=("closed",), limit=20),
            FleetQuery(timezone="Asia/Tokyo", limit=20),
        ):
            await steps.measure(harness.view.page(query))
            totals.append(steps.total)
        return totals

    await _add_stores(harness, 0, 400)
    few = await measure_all()
    await _add_stores(harness, 400, 4_000)
    assert harness.view.counts()["total"] == 4_000
    for before, now in zip(few, await measure_all(), strict=True):
        assert now <= before + 5 + before // 4


async def test_a_late_page_and_a_search_and_a_step_back_in_time_let_other_tasks_run(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "SLICE_STORES", 100)
    monkeypatch.setattr(module, "_TURN_STORES", 20)
    await _add_stores(harness, 0, 4_000)
    steps = Steps(harness)

    for query in (
        *(FleetQuery(sort=sort, offset=3_960, limit=20) for sort in pages_module.SORTS),
        FleetQuery(timezone="Europe/Paris", sort="id", offset=380),
        FleetQuery(part="0f3", sort="last_poll"),
    ):
        await steps.measure(harness.view.page(query))
        assert steps.longest <= 60, query
    for now in (NOON - 3 * HOUR, NOON + 3 * HOUR):
        await steps.measure(harness.view.advance_to(now))
        assert steps.total > 5_000
        assert steps.longest <= 250


@pytest.mark.parametrize("sort", pages_module.SORTS)
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"states": ("up", "unknown")},
        {"timezone": "Europe/Paris"},
        {"part": "7-0000"},
        {"part": "000-4", "timezone": "Europe/Paris", "states": ("up", "unknown")},
    ],
    ids=str,
)
async def test_pages_are_the_parts_of_one_list(
    harness: Harness,
    monkeypatch: pytest.MonkeyPatch,
    query: dict[str, Any],
    sort: pages_module.Sort,
) -> None:
    monkeypatch.setattr(pages_module, "SLICE_STORES", 7)
    await _add_stores(harness, 0, 100)
    matching, whole = await harness.view.page(FleetQuery(**query, sort=sort, limit=200))
    assert matching == len(whole) > 0

    for limit in (1, 3, 50):
        pages = []
        for offset in range(0, matching + limit, limit):
            page = await harness.view.page(
                FleetQuery(**query, sort=sort, limit=limit, offset=offset)
            )
            assert page[0] == matching
            pages += page[1]
        assert pages == whole


async def test_counts_agree_with_the_stores_after_any_changes(harness: Harness) -> None:
    rng = random.Random(7)
    now = NOON
    for _ in range(400):
        number = rng.randrange(12)
        match rng.randrange(5):
            case 0:
                harness.poll(
                    store(number), now - rng.randrange(4 * HOUR), active=rng.random() < 0.5
                )
            case 1:
                harness.hours(
                    store(number), rng.choice([NINE_TO_FIVE, [], [(2, "01:00", "02:00")]])
                )
            case 2:
                harness.timezone(
                    store(number), rng.choice(["Europe/Paris", "Asia/Tokyo", "Nowhere"])
                )
            case 3:
                harness.exists(store(number))
            case _:
                now += rng.randrange(-3 * HOUR, 6 * HOUR)
        await harness.view.advance_to(now)
        stores = (await harness.view.page(FleetQuery(limit=100)))[1]
        counted: dict[str, int] = dict.fromkeys(state_module.STATES, 0)
        for row in stores:
            stale = row.polled_at is None or row.polled_at <= now - SETTINGS.stale_after
            opened = row.state if row.state == "closed" else "unknown" if stale else None
            assert row.state == (opened or ("up" if row.active else "down"))
            counted[row.state] += 1
        assert harness.view.counts() == {**counted, "total": len(stores)}
        assert harness.view.timezones() == sorted({row.timezone for row in stores})


async def test_new_stores_are_evaluated_without_a_request(harness: Harness) -> None:
    harness.poll(store(0), NOON)
    await harness.view.evaluate_new_stores()
    assert harness.view.counts()["total"] == 0

    await harness.view.advance_to(NOON)
    harness.poll(store(1), NOON)
    await harness.view.evaluate_new_stores()
    assert harness.view.counts()["total"] == 2


async def test_a_removed_store_leaves_counts_and_pages_and_is_reported(harness: Harness) -> None:
    for number in range(2):
        harness.exists(store(number))
        harness.poll(store(number), NOON)
    harness.timezone(store(0), "Europe/Paris")
    await harness.view.advance_to(NOON)
    harness.view.drain_changes()

    key = store(0).encode()
    partition = partition_of(key, SETTINGS.partitions)
    harness.store_view.on_record(
        FakeRecord(STORE_TIMEZONES.name, None, partition=partition, key=key)
    )
    harness.store_view.on_record(FakeRecord(STORES.name, None, partition=partition, key=key))
    # its newest poll is not removed yet
    assert not harness.store_view.exists(store(0))
    harness.view.on_record(FakeRecord(LATEST_POLLS.name, None, key=key))

    assert harness.view.drain_changes() == ([store(0)], False)
    assert harness.view.counts() == {"up": 1, "down": 0, "unknown": 0, "closed": 0, "total": 1}
    assert harness.view.timezones() == ["America/Chicago"]
    assert list(await harness.states(NOON)) == [store(1)]

    harness.poll(store(0), NOON - MINUTE, active=False)
    assert await harness.states(NOON) == {store(0): "down", store(1): "up"}


async def test_a_store_whose_polls_alone_were_removed_is_unknown(harness: Harness) -> None:
    harness.exists(store(0))
    harness.poll(store(0), NOON)
    assert await harness.states(NOON) == {store(0): "up"}
    harness.view.on_record(FakeRecord(LATEST_POLLS.name, None, key=store(0).encode()))
    assert await harness.states(NOON) == {store(0): "unknown"}
    harness.poll(store(0), NOON - MINUTE)
    assert await harness.states(NOON) == {store(0): "up"}
