"""The content of the status page: the chosen stores.

Everybody may request it, so many requests must not cause much work. The days come from one query
for all clients, which is repeated after `DAYS_SECONDS`; the rest comes from views of this process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import date
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from api.fleet.badge import covered_share, uptime_share
from api.fleet.rendering import instant_text, local_time
from api.fleet.state import STATES
from api.reports.rows import named_rows
from stream_app.contracts.report_requests import FleetRequest
from stream_app.domain.local_days import is_whole_day
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import DAY, parse_instant
from stream_app.domain.timezones import find_timezone
from stream_app.errors import NoStatusPageError, StoreNotFoundError, StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.fleet.service import FleetService
    from api.fleet.state import StoreState
    from api.reports.service import ReportService

log = logging.getLogger(__name__)

TITLE: Final = "Store status"

DAYS_SECONDS: Final = 60.0
"""Age in seconds at which the days are requested again."""

SHOWN_DAYS: Final = 8
"""The largest number of local days that a store shows, with the present one."""

_DAYS: Final = ReportSpec(duration=SHOWN_DAYS * DAY, daily=True)
"""The time range is a day longer than the days that are shown, since its first day is not whole."""

_DAY_FIELDS: Final = ("date", "uptime_minutes", "downtime_minutes", "coverage")
_UNKNOWN_FIELDS: Final = ("unknown_uptime_minutes", "unknown_downtime_minutes")


class PublicStatus:
    """Makes the content of the status page.

    Args:
        chosen: names by store id, in the order in which they are shown.
        fleet: the stores as they are now.
        reports: requests the days of the stores.
    """

    def __init__(
        self, chosen: Mapping[str, str], fleet: FleetService, reports: ReportService
    ) -> None:
        self.chosen = dict(chosen)
        self._fleet = fleet
        self._reports = reports
        self._days: dict[str, list[dict[str, Any]]] = {}
        self._days_requested_at = float("-inf")
        self._days_task: asyncio.Task[None] | None = None

    def require(self) -> None:
        """Raise an error unless there is a status page.

        Raises:
            NoStatusPageError: no store is chosen.
        """
        if not self.chosen:
            raise NoStatusPageError(
                "there is no status page: STORE_UPTIME_PUBLIC_STORES says which stores it shows"
            )

    async def store(self, store_id: str) -> StoreState | None:
        """Return a chosen store as it is now; None if no input has named it yet.

        Raises:
            NoStatusPageError: no store is chosen.
            StoreNotFoundError: the store is not chosen.
            BrokerUnavailableError: there is no connection.
        """
        self.require()
        if store_id not in self.chosen:
            # the answer must not say whether such a store exists
            raise StoreNotFoundError(f"store {store_id} is not shown here")
        return await self._fleet.store_with_figures(store_id)

    async def counts(self) -> dict[str, int]:
        """Return how many of the chosen stores are in each state, and in total.

        Raises:
            NoStatusPageError: no store is chosen.
            BrokerUnavailableError: there is no connection.
        """
        self.require()
        return self._counts(await self._stores())

    async def content(self) -> dict[str, Any]:
        """Return all that the page shows.

        Raises:
            NoStatusPageError: no store is chosen.
            BrokerUnavailableError: there is no connection.
        """
        self.require()
        self._fleet.refresh_figures()
        known = await self._stores()
        await self._refresh_days(known)
        now = self._fleet.now()
        return {
            "title": TITLE,
            "now": instant_text(now),
            "freshness": self._fleet.freshness(),
            "counts": self._counts(known),
            "stores": [
                {
                    "name": name,
                    "store_id": store_id,
                    **self._store_content(known.get(store_id), now),
                }
                for store_id, name in self.chosen.items()
            ],
        }

    async def _stores(self) -> dict[str, StoreState]:
        """Return the chosen stores that are known, by id."""
        return {store.store_id: store for store in await self._fleet.stores(list(self.chosen))}

    def _counts(self, known: Mapping[str, StoreState]) -> dict[str, int]:
        counts: dict[str, int] = dict.fromkeys(STATES, 0)
        for store_id in self.chosen:
            counts[known[store_id].state if store_id in known else "unknown"] += 1
        return {**counts, "total": len(self.chosen)}

    def _store_content(self, store: StoreState | None, now: int | None) -> dict[str, Any]:
        if store is None:
            return {
                "state": "unknown",
                "timezone": None,
                "local_time": None,
                "last_poll_at": None,
                "open_changes_at": None,
                "open_changes_local": None,
                "uptime": {"last_day": None, "last_week": None},
                "coverage": {"last_day": None, "last_week": None},
                "days": [],
            }
        return {
            "state": store.state,
            "timezone": store.timezone,
            "local_time": local_time(store.timezone, now),
            "last_poll_at": instant_text(store.polled_at),
            "open_changes_at": instant_text(store.opening_changes_at),
            "open_changes_local": local_time(store.timezone, store.opening_changes_at),
            "uptime": {
                "last_day": uptime_share(store.figures, "day"),
                "last_week": uptime_share(store.figures, "week"),
            },
            "coverage": {
                "last_day": covered_share(store.figures, "day"),
                "last_week": covered_share(store.figures, "week"),
            },
            "days": self._days.get(store.store_id, []),
        }

    async def _refresh_days(self, known: Mapping[str, StoreState]) -> None:
        """Request the days if they are old; wait for them only if there are none yet."""
        old = time.monotonic() - self._days_requested_at >= DAYS_SECONDS
        if known and old and (self._days_task is None or self._days_task.done()):
            self._days_requested_at = time.monotonic()
            self._days_task = asyncio.create_task(
                self._request_days(tuple(sorted(known))), name="public-days"
            )
        if not self._days and self._days_task is not None:
            await asyncio.shield(self._days_task)

    async def _request_days(self, store_ids: tuple[str, ...]) -> None:
        request = FleetRequest(str(uuid4()), store_ids, self._fleet.now(), spec=_DAYS)
        try:
            answer = await self._reports.answer(request)
        except StoreUptimeError as error:
            log.warning("the status page has no new days: %s", error)
            return
        document = answer.document
        if document is None or not set(_DAY_FIELDS) <= set(document.row_fields):
            # a worker of another version, or another client, wrote this answer
            log.warning("the status page has no new days: the answer has other columns")
            return
        days: dict[str, list[dict[str, Any]]] = {}
        for row in named_rows(document, self._reports.stored_rows(answer.report_id).parts):
            days.setdefault(row["store_id"], []).append(row)
        self._days = {store_id: shown_days(rows) for store_id, rows in days.items()}


def shown_days(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the local days of a store as the page shows them: whole ones, and the present one.

    Args:
        rows: the rows of a report by days of one store, the oldest first.
    """
    days = []
    for row in rows:
        tz = find_timezone(row["timezone"])
        bounds = parse_instant(row["start"]), parse_instant(row["end"])
        whole = tz is not None and is_whole_day(tz, date.fromisoformat(row["date"]), *bounds)
        if whole or row is rows[-1]:
            day = {name: row[name] for name in _DAY_FIELDS}
            day |= {name: row.get(name, 0) for name in _UNKNOWN_FIELDS}
            days.append({**day, "whole_day": whole})
    return days[-SHOWN_DAYS:]
