"""What every store is now: by hours, zone, newest poll and the instant that is looked at."""

from __future__ import annotations

import random
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
import pytz

from api import fleet_view as module
from api.fleet_view import FleetQuery, FleetView, State
from api.registry import Registry
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.records import (
    StoreRecord,
    encode_hours,
    encode_poll,
    encode_store,
    encode_zone,
)
from stream_app.contracts.topics import (
    LATEST_POLLS,
    STORE_BUSINESS_HOURS,
    STORE_TIMEZONES,
    STORES,
)
from stream_app.domain.instants import DAY, HOUR, MINUTE, WEEK, to_datetime
from stream_app.errors import RecordError
from tests.fakes import SETTINGS, FakeRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = 1_710_072_000_000_000  # Sunday 2024-03-10T12:00:00Z; 07:00 in Chicago, whose clock changed
NINE_TO_FIVE = [(day, "09:00", "17:00") for day in range(7)]


def store(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


class Desk:
    """A view over a registry."""

    def __init__(self) -> None:
        self.registry = Registry(":memory:", SETTINGS.partitions)  # type: ignore[arg-type]
        self.view = FleetView(self.registry.database, SETTINGS)

    def hours(self, store_id: str, rows: Any) -> None:
        self._take(STORE_BUSINESS_HOURS, store_id, encode_hours(store_id, rows))

    def zone(self, store_id: str, name: str) -> None:
        self._take(STORE_TIMEZONES, store_id, encode_zone(store_id, name))

    def exists(self, store_id: str) -> None:
        self._take(STORES, store_id, encode_store(StoreRecord(store_id)))

    def poll(self, store_id: str, instant: int, *, active: bool = True) -> None:
        value = encode_poll(store_id, instant, active=active)
        self.view.on_record(FakeRecord(LATEST_POLLS.name, value))

    def _take(self, spec: Any, store_id: str, value: bytes) -> None:
        partition = partition_of(store_id.encode(), SETTINGS.partitions)
        self.registry.on_record(FakeRecord(spec.name, value, partition=partition))

    async def states(self, now: int, **query: Any) -> dict[str, State]:
        await self.view.advance(now)
        matching, stores = self.view.page(FleetQuery(**query), now)
        assert matching >= len(stores)
        return {found.store_id: found.state for found in stores}


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.registry.close()


async def test_states(desk: Desk) -> None:
    for number, (instant, active) in enumerate(
        [(NOON, True), (NOON, False), (NOON - 2 * HOUR + 1, True), (NOON - 2 * HOUR, True)]
    ):
        desk.poll(store(number), instant, active=active)
    desk.exists(store(4))
    desk.hours(store(5), NINE_TO_FIVE)  # nine o'clock in Chicago has not come
    desk.poll(store(5), NOON)

    assert await desk.states(NOON) == {
        store(0): "up",
        store(1): "down",
        store(2): "up",
        store(3): "unknown",
        store(4): "unknown",
        store(5): "closed",
    }
    assert desk.view.counts(NOON) == {"up": 2, "down": 1, "unknown": 2, "closed": 1, "total": 6}


async def test_a_store_opens_and_closes_by_its_own_clock(desk: Desk) -> None:
    desk.hours(store(0), NINE_TO_FIVE)
    desk.zone(store(0), "Asia/Kathmandu")
    opens = NOON + DAY - NOON % DAY + 3 * HOUR + 15 * MINUTE  # 09:00 at +5:45
    desk.poll(store(0), opens - 1)

    for now, state, changes_at in [
        (opens - 1, "closed", opens),
        (opens, "up", opens + 8 * HOUR),
        (opens + 1, "up", opens + 8 * HOUR),
        (opens + 8 * HOUR, "closed", opens + DAY),
    ]:
        desk.poll(store(0), now)
        await desk.view.advance(now)
        (found,) = desk.view.stores([store(0)], now)
        assert (found.state, found.changes_at, found.timezone) == (
            state,
            changes_at,
            "Asia/Kathmandu",
        )


@pytest.mark.parametrize(
    ("rows", "state"), [((), "up"), (((0, "09:00", "09:00"),), "closed")], ids=["always", "never"]
)
async def test_hours_that_never_change(desk: Desk, rows: Any, state: State) -> None:
    desk.hours(store(0), rows)
    for now in (NOON, NOON + 7 * DAY, NOON + 100 * DAY):
        desk.poll(store(0), now)
        await desk.view.advance(now)
        (found,) = desk.view.stores([store(0)], now)
        assert (found.state, found.changes_at) == (state, None)


async def test_new_hours_and_a_new_zone_count_at_once(desk: Desk) -> None:
    desk.poll(store(0), NOON)
    assert await desk.states(NOON) == {store(0): "up"}

    desk.hours(store(0), NINE_TO_FIVE)
    assert await desk.states(NOON) == {store(0): "closed"}

    desk.zone(store(0), "Europe/London")
    assert await desk.states(NOON) == {store(0): "up"}


async def test_a_clock_that_goes_back_is_followed(desk: Desk) -> None:
    """Before the first poll of last year's file there is only the wall clock."""
    desk.hours(store(0), NINE_TO_FIVE)
    assert await desk.states(NOON + 4 * HOUR) == {store(0): "unknown"}

    assert await desk.states(NOON) == {store(0): "closed"}


async def test_an_older_poll_changes_nothing_and_of_one_instant_the_inactive_one_stays(
    desk: Desk,
) -> None:
    polls = [(NOON - 3, True), (NOON - 1, True), (NOON - 1, False), (NOON - 2, True)]
    for seed in range(8):
        random.Random(seed).shuffle(polls)
        for instant, active in polls:
            desk.poll(store(seed), instant, active=active)

    await desk.view.advance(NOON)
    found = desk.view.stores([store(seed) for seed in range(8)], NOON)
    assert {(one.polled, one.active) for one in found} == {(NOON - 1, False)}


async def test_the_worst_come_first(desk: Desk) -> None:
    for number, active in enumerate([True, False, True, False]):
        desk.poll(store(number), NOON, active=active)
    desk.exists(store(4))
    desk.hours(store(5), NINE_TO_FIVE)
    await desk.view.set_figures(
        {
            **dict.fromkeys(module._FIGURES, 0.0),
            "store_id": store(number),
            "downtime_last_day": hours,
        }
        for number, hours in ((1, 2.5), (2, 1.5), (3, 20.0))
    )

    assert list(await desk.states(NOON)) == [store(n) for n in (3, 1, 4, 2, 0, 5)]
    assert list(await desk.states(NOON, sort="id")) == [store(n) for n in range(6)]
    (found,) = desk.view.stores([store(3)], NOON)
    assert found.figures is not None
    assert found.figures["downtime_last_day"] == 20.0


async def test_filters_and_pages(desk: Desk) -> None:
    for number in range(10):
        desk.poll(store(number), NOON - number, active=number % 2 == 0)
    desk.zone(store(3), "Europe/Paris")

    assert set(await desk.states(NOON, states=("down",))) == {store(n) for n in (1, 3, 5, 7, 9)}
    assert set(await desk.states(NOON, states=("down", "up"), timezone="Europe/Paris")) == {
        store(3)
    }
    assert set(await desk.states(NOON, part="0007-")) == {store(7)}
    assert list(await desk.states(NOON, sort="last_poll", limit=3, offset=4)) == [
        store(n) for n in (4, 5, 6)
    ]
    assert desk.view.page(FleetQuery(limit=3), NOON)[0] == 10
    assert desk.view.zones() == ["America/Chicago", "Europe/Paris"]


async def test_only_what_changed_is_told(desk: Desk) -> None:
    desk.poll(store(0), NOON)
    desk.poll(store(1), NOON)
    desk.hours(store(2), [(6, "07:00", "07:30")])
    await desk.view.advance(NOON)
    desk.view.take_changed()

    desk.poll(store(1), NOON + MINUTE)
    desk.poll(store(0), NOON - MINUTE)
    await desk.view.advance(NOON + MINUTE)
    assert desk.view.take_changed() == ([store(1)], False)

    # one closes, one is not heard of any more
    await desk.view.advance(NOON + 30 * MINUTE)
    assert desk.view.take_changed() == ([store(2)], False)
    await desk.view.advance(NOON + 2 * HOUR)
    assert desk.view.take_changed() == ([store(0)], False)
    await desk.view.advance(NOON + 3 * HOUR)
    assert desk.view.take_changed() == ([store(1)], False)


async def test_what_is_remembered_as_changed_is_bounded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CHANGED", 2)
    for number in range(3):
        desk.poll(store(number), NOON)

    assert desk.view.take_changed() == ([store(0), store(1)], True)
    assert desk.view.take_changed() == ([], False)


async def test_a_look_touches_only_the_stores_whose_instant_has_passed(desk: Desk) -> None:
    for number in range(50):
        desk.hours(store(number), [(6, f"{7 + number // 10:02}:00", "23:00")])
    await desk.view.advance(NOON)
    looked: list[str] = []
    desk.registry.database.set_trace_callback(
        lambda sql: looked.append(sql) if sql.startswith("UPDATE") else None
    )

    await desk.view.advance(NOON + MINUTE)
    assert looked == []
    await desk.view.advance(NOON + HOUR)
    assert len(looked) == 10


async def test_at_any_instant_it_is_open_as_its_local_clock_says(desk: Desk) -> None:
    rng = random.Random(5)
    zones = rng.sample(pytz.common_timezones, 40)
    for number, name in enumerate(zones):
        desk.zone(store(number), name)
        desk.hours(store(number), NINE_TO_FIVE)
    now = NOON
    for _ in range(60):
        await desk.view.advance(now)
        found = desk.view.stores([store(number) for number in range(40)], now)
        for one, name in zip(found, zones, strict=True):
            local = to_datetime(now).astimezone(pytz.timezone(name))
            assert (one.state != "closed") == (9 <= local.hour < 17), (name, local)
        now += rng.randrange(WEEK // 10)


def test_a_record_that_cannot_be_read_changes_nothing(desk: Desk) -> None:
    for value in (None, b"", b"{}", b'{"store_id":5}'):
        with pytest.raises(RecordError):
            desk.view.on_record(FakeRecord(LATEST_POLLS.name, value))
    assert desk.view.take_changed() == ([], False)


def test_the_orders_and_states_are_sql_that_runs(desk: Desk) -> None:
    for sort in module.SORTS:
        try:
            desk.view.page(FleetQuery(states=module.STATES, sort=sort), NOON)
        except sqlite3.Error as error:
            pytest.fail(f"{sort}: {error}")
