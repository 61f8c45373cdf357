"""The current state of every store: whether it is open, its newest poll, its last known figures.

The view shares the table of `api.stores.view`. Each row has the instant at which the store's state
may change by the clock, so that a step of the clock reads only the stores whose instant has passed.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any, Final

import orjson

from api.fleet.pages import FleetPages
from api.fleet.state import LOOK_AHEAD, STATES, StoreState, figures_in, opening, worst_key
from api.stores.view import drop_if_gone
from stream_app.contracts.business_hours import decode_rows
from stream_app.contracts.polls import decode_packed_polls
from stream_app.contracts.removal import tombstone_store
from stream_app.domain.timezones import resolve_timezone
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from api.fleet.pages import FleetQuery
    from stream_app.settings import Settings

MAX_CHANGED: Final = 10_000
"""Changed stores that are listed; beyond them the view only says that there are more."""

_TURN_STORES: Final = 500
"""Stores that are changed before other requests get their turn."""

_DOWN, _UNKNOWN, _UP, _CLOSED = (
    STATES.index(state) for state in ("down", "unknown", "up", "closed")
)

_SCHEMA: Final = """
CREATE INDEX store_reevaluate_at ON store (reevaluate_at);
CREATE INDEX store_worst ON store (rank, worst, store_id, zone) WHERE rank IS NOT NULL;
CREATE INDEX store_polled ON store (polled_order, store_id, zone, rank) WHERE rank IS NOT NULL;
-- how many stores are in each zone and state: kept by difference, whoever changes a store
CREATE TABLE tally (
    zone TEXT NOT NULL,
    rank INTEGER NOT NULL,
    stores INTEGER NOT NULL,
    PRIMARY KEY (zone, rank)
) WITHOUT ROWID;
CREATE TRIGGER store_tallied AFTER UPDATE OF zone, rank ON store
WHEN OLD.zone IS NOT NEW.zone OR OLD.rank IS NOT NEW.rank
BEGIN
    UPDATE tally SET stores = stores - 1 WHERE zone = OLD.zone AND rank = OLD.rank;
    INSERT INTO tally SELECT NEW.zone, NEW.rank, 0
    WHERE NOT EXISTS (SELECT 1 FROM tally WHERE zone = NEW.zone AND rank = NEW.rank);
    UPDATE tally SET stores = stores + 1 WHERE zone = NEW.zone AND rank = NEW.rank;
END;
CREATE TRIGGER store_gone AFTER DELETE ON store
BEGIN
    UPDATE tally SET stores = stores - 1 WHERE zone = OLD.zone AND rank = OLD.rank;
    SELECT mark_changed(OLD.store_id);
END;
"""

_RANK: Final = f"""CASE
    WHEN NOT :open THEN {_CLOSED}
    WHEN polled IS NULL OR polled <= :stale THEN {_UNKNOWN}
    WHEN active THEN {_UP}
    ELSE {_DOWN} END"""
"""The SQL for the number of a store's state, with `open` and `stale` as parameters."""

_NEVER_STALE: Final = -(1 << 62)
_BEHIND_ALL: Final = "g"
"""A text that sorts after every store id."""


_COLUMNS: Final = "store_id, rank, zone, polled, active, opening_changes_at, figures"


class FleetView:
    """The registered stores as they are now.

    The states of stores, and the counts of states, are those of the last `advance_to`.

    Args:
        database: the database of the `StoreView`.
        settings: the default timezone, and how long a poll covers the time after it.
    """

    def __init__(self, database: sqlite3.Connection, settings: Settings) -> None:
        self._database = database
        database.create_function("mark_changed", 1, self._mark_changed)
        # one statement at a time: a script would end the open transaction
        for statement in _statements(_SCHEMA):
            database.execute(statement)
        self._pages = FleetPages(database)
        self._settings = settings
        self._changed: dict[str, None] = {}
        self._more_changed = False
        self._stale_before: int | None = None
        self._now = 0
        self._advancing = asyncio.Lock()

    def on_record(self, record: Any) -> None:
        """Apply a record of `latest-polls`; an older poll than the known one changes nothing.

        Raises:
            RecordError: it cannot be used, as a whole or in part.
        """
        gone = tombstone_store(record)
        if gone is not None:
            self._no_poll(gone)
            return
        packed, rejected = decode_packed_polls(record.value)
        for poll in packed.polls:
            self._polled(packed.store_id, poll >> 1, poll & 1)
        if rejected:
            raise RecordError("; ".join(rejected[:20]))

    def _polled(self, store_id: str, instant: int, active: int) -> None:
        changed = self._database.execute(
            "INSERT INTO store (store_id, polled, polled_order, active) VALUES (?1, ?2, -?2, ?3)"  # noqa: S608  ours
            " ON CONFLICT (store_id) DO UPDATE SET"
            " polled = ?2, polled_order = -?2, active = ?3, rank ="
            f" CASE WHEN rank IS NULL OR rank = {_CLOSED} THEN rank"
            f" WHEN ?2 <= ?4 THEN {_UNKNOWN} WHEN ?3 THEN {_UP} ELSE {_DOWN} END"
            # of two polls of one instant the inactive one counts, whichever came first
            " WHERE polled IS NULL OR polled < ?2 OR (polled = ?2 AND active > ?3)",
            (
                store_id,
                instant,
                active,
                _NEVER_STALE if self._stale_before is None else self._stale_before,
            ),
        )
        if changed.rowcount:
            self._mark_changed(store_id)

    def _no_poll(self, store_id: str) -> None:
        """Take the newest poll of a store out of its row: its polls were removed."""
        self._database.execute(
            "UPDATE store SET polled = NULL, polled_order = 9223372036854775807, active = NULL,"  # noqa: S608  ours
            f" rank = CASE WHEN rank IS NULL OR rank = {_CLOSED} THEN rank ELSE {_UNKNOWN} END"
            " WHERE store_id = ?",
            (store_id,),
        )
        self._mark_changed(store_id)
        drop_if_gone(self._database, store_id)

    async def advance_to(self, now: int) -> None:
        """Move the state of all stores to an instant, some stores at a time."""
        async with self._advancing:
            before, self._now = self._now, now
            if now < before:
                # the first poll has come, and it is old: before it the wall clock was the present
                await self._reevaluate_after(now)
            await self._grow_stale(now - self._settings.stale_after)
            await self._open_and_close(now)

    async def evaluate_new_stores(self) -> None:
        """Set the state of the stores that came since the last `advance_to`, as of then."""
        async with self._advancing:
            if self._stale_before is not None:
                await self._open_and_close(0)

    async def _reevaluate_after(self, now: int) -> None:
        """Reevaluate the stores whose state was computed for a time after an instant."""
        after: str | None = ""
        while after is not None:
            last = self._database.execute(
                "SELECT store_id FROM store WHERE store_id > ? ORDER BY store_id LIMIT 1 OFFSET ?",
                (after, _TURN_STORES - 1),
            ).fetchone()
            end = None if last is None else last[0]
            self._database.execute(
                "UPDATE store SET reevaluate_at = 0"
                " WHERE store_id > ?1 AND (?2 IS NULL OR store_id <= ?2) AND evaluated_at > ?3",
                (after, end, now),
            )
            after = end
            await asyncio.sleep(0)

    async def _open_and_close(self, due: int) -> None:
        """Update the stores that may have opened or closed by an instant, and all new stores."""
        now = self._now
        known: dict[tuple[bytes | None, str | None], tuple[Any, ...]] = {}
        while rows := self._database.execute(
            "SELECT store_id, hours, timezone FROM store WHERE reevaluate_at <= ? LIMIT ?",
            (due, _TURN_STORES),
        ).fetchall():
            for store_id, hours, timezone in rows:
                opening = known.get((hours, timezone))
                if opening is None:
                    opening = known[hours, timezone] = self._opening(hours, timezone, now)
                applied_timezone, is_open, opening_changes_at, reevaluate_at = opening
                self._database.execute(
                    "UPDATE store SET zone = :zone, open = :open,"  # noqa: S608  ours
                    " opening_changes_at = :opening_changes_at,"
                    f" reevaluate_at = :reevaluate_at, evaluated_at = :now, rank = {_RANK}"
                    " WHERE store_id = :store_id",
                    {
                        "zone": applied_timezone,
                        "open": is_open,
                        "opening_changes_at": opening_changes_at,
                        "reevaluate_at": reevaluate_at,
                        "now": now,
                        "stale": self._stale_before,
                        "store_id": store_id,
                    },
                )
                self._mark_changed(store_id)
            await asyncio.sleep(0)

    def _opening(
        self, hours: bytes | None, timezone: str | None, now: int
    ) -> tuple[str, bool, int | None, int]:
        """Return the timezone, whether it is open, when that changes, and when to check again."""
        tz = resolve_timezone(timezone, self._settings.default_timezone)
        is_open, opening_changes_at = opening(decode_rows(hours or b"[]"), tz, now)
        return (
            str(tz),
            is_open,
            opening_changes_at,
            now + LOOK_AHEAD if opening_changes_at is None else opening_changes_at,
        )

    async def _grow_stale(self, stale: int) -> None:
        """Update the open stores whose newest poll has become too old, or is no longer too old."""
        before, self._stale_before = self._stale_before, stale
        if before is None or before == stale:
            # before the first call no store has a state
            return
        # the order is that of the newest polls, backwards
        after: tuple[int, str] = (-max(before, stale) - 1, _BEHIND_ALL)
        end = -min(before, stale)
        while rows := self._database.execute(
            "SELECT polled_order, store_id, rank FROM store INDEXED BY store_polled"
            " WHERE rank IS NOT NULL AND (polled_order, store_id) > (?, ?) AND polled_order < ?"
            " ORDER BY polled_order, store_id LIMIT ?",
            (*after, end, _TURN_STORES),
        ).fetchall():
            for _, store_id, rank in rows:
                if rank in (None, _CLOSED):
                    continue
                self._database.execute(
                    f"UPDATE store SET rank = {_RANK} WHERE store_id = :store_id",  # noqa: S608  ours
                    {"open": True, "stale": stale, "store_id": store_id},
                )
                self._mark_changed(store_id)
            after = rows[-1][:2]
            await asyncio.sleep(0)

    def _mark_changed(self, store_id: str) -> None:
        if len(self._changed) < MAX_CHANGED:
            self._changed[store_id] = None
        else:
            self._more_changed = True

    def drain_changes(self) -> tuple[list[str], bool]:
        """Return the stores that changed or went since the last call, and if there are more."""
        changed, more = list(self._changed), self._more_changed
        self._changed, self._more_changed = {}, False
        return changed, more

    def counts(self) -> dict[str, int]:
        """Return how many stores are in each state, and in total."""
        counts: dict[str, int] = dict.fromkeys(STATES, 0)
        for rank, stores in self._database.execute(
            "SELECT rank, sum(stores) FROM tally GROUP BY rank"
        ):
            counts[STATES[rank]] = stores
        return {**counts, "total": sum(counts.values())}

    def timezones(self) -> list[str]:
        """Return the timezones of all stores, in order."""
        rows = self._database.execute(
            "SELECT DISTINCT zone FROM tally WHERE stores > 0 ORDER BY zone"
        )
        return [name for (name,) in rows]

    async def page(self, query: FleetQuery) -> tuple[int, list[StoreState]]:
        """Return how many stores match a query, and those of its page."""
        matching, store_ids = await self._pages.find(query)
        return matching, self.stores(store_ids)

    def stores(self, store_ids: Sequence[str]) -> list[StoreState]:
        """Return some stores as they are now; those that are unknown are left out."""
        states = []
        for store_id in store_ids:
            row = self._database.execute(
                f"SELECT {_COLUMNS} FROM store WHERE store_id = ? AND rank IS NOT NULL",  # noqa: S608  ours
                (store_id,),
            ).fetchone()
            if row is not None:
                states.append(_store_now(row))
        return states

    async def set_figures(self, reports: Iterable[dict[str, Any]]) -> None:
        """Set the figures of stores from the rows of a report."""
        for count, report in enumerate(reports):
            self._database.execute(
                "UPDATE store SET figures = ?, worst = ? WHERE store_id = ?",
                (orjson.dumps(figures_in(report)), worst_key(report), report["store_id"]),
            )
            if count % _TURN_STORES == 0:
                await asyncio.sleep(0)


def _store_now(row: tuple[Any, ...]) -> StoreState:
    store_id, rank, timezone, polled, active, opening_changes_at, figures = row
    return StoreState(
        store_id=store_id,
        state=STATES[rank],
        timezone=timezone,
        polled_at=polled,
        active=bool(active),
        opening_changes_at=opening_changes_at,
        figures=None if figures is None else orjson.loads(figures),
    )


def _statements(script: str) -> list[str]:
    """Return the statements of a script whose triggers end with a line of `END;`."""
    statements, statement = [], ""
    for line in script.strip().splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            statements.append(statement)
            statement = ""
    return statements
