"""Every store as it is now: whether it is open, its newest poll, and its last known figures.

It shares the registry's table. What depends on the time is kept as the instant at which it changes,
so that a look at the fleet touches only the stores whose instant has passed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import orjson

from stream_app.contracts.records import decode_packed_polls, status_name
from stream_app.domain.hours import WeeklyHours, open_intervals
from stream_app.domain.instants import DAY, format_instant, to_datetime
from stream_app.domain.intervals import union
from stream_app.domain.report import FIGURE_NAMES
from stream_app.domain.zones import find_zone, zone
from stream_app.errors import RecordError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from stream_app.settings import Settings

State = Literal["down", "unknown", "up", "closed"]
STATES: Final[tuple[State, ...]] = get_args(State)
"""The states, the worst one first."""

Sort = Literal["worst", "id", "last_poll"]
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)

MAX_CHANGED: Final = 10_000
"""Stores that are remembered as changed; of more it is only known that there were more."""

LOOK_AHEAD: Final = 8 * DAY
"""Weekly hours that ever change do so within it, whatever the clock does."""

_TURN_STORES: Final = 500

_STATE: Final = """CASE
    WHEN NOT open THEN 'closed'
    WHEN polled IS NULL OR polled <= :stale THEN 'unknown'
    WHEN active THEN 'up'
    ELSE 'down' END"""

_RANK: Final = (
    "CASE state "
    + " ".join(f"WHEN '{state}' THEN {rank}" for rank, state in enumerate(STATES))
    + " END"
)
_ORDERS: Final[dict[Sort, str]] = {
    "worst": f"{_RANK}, down_day DESC NULLS LAST, store_id",
    "id": "store_id",
    "last_poll": "polled DESC NULLS LAST, store_id",
}
_COLUMNS: Final = (
    f"store_id, {_STATE} AS state, zone, polled, active, changes_at, figures, down_day"
)


@dataclass(frozen=True, slots=True)
class StoreNow:
    """A store at an instant.

    Attributes:
        store_id: the store.
        state: as the name says.
        timezone: the zone that counts.
        polled: µs of its newest poll; None: there is none.
        active: what that poll said.
        changes_at: µs; when it next opens or closes; None: never.
        figures: of its last report that is known here, by name.
    """

    store_id: str
    state: State
    timezone: str
    polled: int | None
    active: bool
    changes_at: int | None
    figures: dict[str, Any] | None


def moment(instant: int | None) -> str | None:
    """An instant as answers have it, where there is one."""
    return None if instant is None else format_instant(instant)


def last_poll(store: StoreNow) -> dict[str, str] | None:
    """The newest poll of a store as answers have it."""
    if store.polled is None:
        return None
    return {"status": status_name(store.active), "timestamp_utc": format_instant(store.polled)}


def local_time(timezone: str, now: int | None) -> str | None:
    """What a store's clock shows, ISO 8601 with its offset, to the second."""
    tz = find_zone(timezone)
    if now is None or tz is None:
        return None
    return to_datetime(now).astimezone(tz).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class FleetQuery:
    """Which stores are looked at, and in which order.

    Attributes:
        states: empty: all.
        timezone: None: all.
        part: of the store id; empty: all.
        sort: the order.
        limit: how many at most.
        offset: how many are left out before.
    """

    states: tuple[State, ...] = ()
    timezone: str | None = None
    part: str = ""
    sort: Sort = "worst"
    limit: int = 50
    offset: int = 0


class FleetView:
    """The stores of the registry as they are now.

    Args:
        database: the registry's.
        settings: default zone, and how long a poll speaks for its store.
    """

    def __init__(self, database: sqlite3.Connection, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._changed: dict[str, None] = {}
        self._more_changed = False
        self._seen_stale: int | None = None
        self._now = 0

    def on_record(self, record: Any) -> None:
        """Take in a record of `latest-polls`; an older poll than the known one changes nothing.

        Raises:
            RecordError: it cannot be used, as a whole or in part.
        """
        told, refused = decode_packed_polls(record.value)
        for poll in told.polls:
            self._polled(told.store_id, poll >> 1, poll & 1)
        if refused:
            raise RecordError("; ".join(refused[:20]))

    def _polled(self, store_id: str, instant: int, active: int) -> None:
        changed = self._database.execute(
            "INSERT INTO store (store_id, polled, active) VALUES (?1, ?2, ?3)"
            " ON CONFLICT (store_id) DO UPDATE SET polled = ?2, active = ?3"
            # of one instant the inactive poll stays, whatever came first
            " WHERE polled IS NULL OR polled < ?2 OR (polled = ?2 AND active > ?3)",
            (store_id, instant, active),
        )
        if changed.rowcount:
            self._note(store_id)

    async def advance(self, now: int) -> None:
        """Open and close what has opened and closed by now, some stores at a time."""
        if now < self._now:
            # the first poll of old ones came: until then there was only the wall clock
            self._database.execute("UPDATE store SET look_at = 0")
        self._now = now
        known: dict[tuple[bytes | None, str | None], tuple[Any, ...]] = {}
        while rows := self._database.execute(
            "SELECT store_id, hours, timezone FROM store WHERE look_at <= ? LIMIT ?",
            (now, _TURN_STORES),
        ).fetchall():
            for store_id, hours, timezone in rows:
                opening = known.get((hours, timezone))
                if opening is None:
                    opening = known[hours, timezone] = self._opening(hours, timezone, now)
                self._database.execute(
                    "UPDATE store SET zone = ?, open = ?, changes_at = ?, look_at = ?"
                    " WHERE store_id = ?",
                    (*opening, store_id),
                )
                self._note(store_id)
            await asyncio.sleep(0)
        self._note_stale(now)

    def _opening(
        self, hours: bytes | None, timezone: str | None, now: int
    ) -> tuple[str, bool, int | None, int]:
        """Zone, whether it is open, when that changes, and when to look again."""
        tz = zone(timezone, self._settings.default_timezone)
        weekly = WeeklyHours.from_rows(tuple(row) for row in orjson.loads(hours or b"[]"))
        end = now + LOOK_AHEAD
        opened = union(open_intervals(weekly, tz, now, end))
        is_open = bool(opened) and opened[0][0] == now
        changes_at = end if not opened else opened[0][1] if is_open else opened[0][0]
        return str(tz), is_open, None if changes_at == end else changes_at, changes_at

    def _note_stale(self, now: int) -> None:
        """Note the stores whose newest poll has grown too old since the last look."""
        stale = now - self._settings.stale_after
        if self._seen_stale is not None and self._seen_stale < stale:
            for (store_id,) in self._database.execute(
                "SELECT store_id FROM store WHERE polled > ? AND polled <= ?",
                (self._seen_stale, stale),
            ):
                self._note(store_id)
        self._seen_stale = stale

    def _note(self, store_id: str) -> None:
        if len(self._changed) < MAX_CHANGED:
            self._changed[store_id] = None
        else:
            self._more_changed = True

    def take_changed(self) -> tuple[list[str], bool]:
        """The stores that changed since the last call, and whether there are more of them."""
        changed, more = list(self._changed), self._more_changed
        self._changed, self._more_changed = {}, False
        return changed, more

    def counts(self, now: int) -> dict[str, int]:
        """How many stores are in each state, and in all."""
        found: dict[str, int] = dict.fromkeys(STATES, 0)
        found |= dict(
            self._database.execute(
                f"SELECT {_STATE} AS state, count(*) FROM store GROUP BY state",  # noqa: S608  ours
                {"stale": now - self._settings.stale_after},
            )
        )
        return {**found, "total": sum(found.values())}

    def zones(self) -> list[str]:
        """The zones of all stores, in order."""
        rows = self._database.execute(
            "SELECT DISTINCT zone FROM store WHERE zone IS NOT NULL ORDER BY zone"
        )
        return [name for (name,) in rows]

    def page(self, query: FleetQuery, now: int) -> tuple[int, list[StoreNow]]:
        """How many stores a query finds, and those of its page."""
        where = ["zone IS NOT NULL"]
        values: dict[str, Any] = {"stale": now - self._settings.stale_after}
        if query.timezone is not None:
            where.append("zone = :zone")
            values["zone"] = query.timezone
        if query.part:
            where.append("instr(store_id, :part) > 0")
            values["part"] = query.part
        if query.states:
            names = [f":state{number}" for number in range(len(query.states))]
            where.append(f"state IN ({', '.join(names)})")
            values |= {name[1:]: state for name, state in zip(names, query.states, strict=True)}
        found = f"FROM (SELECT {_COLUMNS} FROM store) WHERE {' AND '.join(where)}"  # noqa: S608  names of ours
        (matching,) = self._database.execute(f"SELECT count(*) {found}", values).fetchone()
        rows = self._database.execute(
            f"SELECT * {found} ORDER BY {_ORDERS[query.sort]} LIMIT :limit OFFSET :offset",
            {**values, "limit": query.limit, "offset": query.offset},
        )
        return int(matching), [_store_now(row) for row in rows]

    def stores(self, store_ids: Sequence[str], now: int) -> list[StoreNow]:
        """Some stores as they are now; those that are unknown are left out."""
        found = []
        for store_id in store_ids:
            row = self._database.execute(
                f"SELECT {_COLUMNS} FROM store WHERE store_id = :store_id AND zone IS NOT NULL",  # noqa: S608  ours
                {"stale": now - self._settings.stale_after, "store_id": store_id},
            ).fetchone()
            if row is not None:
                found.append(_store_now(row))
        return found

    async def set_figures(self, reports: Iterable[dict[str, Any]]) -> None:
        """Keep the figures of stores, by name as a report of many has them."""
        for count, report in enumerate(reports):
            figures = {name: report[name] for name in _FIGURES}
            self._database.execute(
                "UPDATE store SET figures = ?, down_day = ? WHERE store_id = ?",
                (orjson.dumps(figures), report["downtime_last_day"], report["store_id"]),
            )
            if count % _TURN_STORES == 0:
                await asyncio.sleep(0)


_FIGURES: Final = (*FIGURE_NAMES, "coverage")

FIGURE_FIELDS: Final = frozenset(_FIGURES)
"""The fields that a row must have for `set_figures`."""


def _store_now(row: tuple[Any, ...]) -> StoreNow:
    store_id, state, timezone, polled, active, changes_at, figures, _ = row
    return StoreNow(
        store_id=store_id,
        state=state,
        timezone=timezone,
        polled=polled,
        active=bool(active),
        changes_at=changes_at,
        figures=None if figures is None else orjson.loads(figures),
    )
