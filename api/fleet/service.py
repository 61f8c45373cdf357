"""The current state of all stores, and notifications for those who watch it.

While a client watches, a periodic task moves the view with the clock, notifies the watchers of what
changed, and refreshes the figures of all stores.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from api.fleet.rendering import instant_text
from api.fleet.state import FIGURE_FIELDS
from api.reports.rows import named_rows
from stream_app.contracts.report_requests import FleetRequest
from stream_app.domain.timestamps import SECOND
from stream_app.errors import StoreUptimeError
from stream_app.periodic import PeriodicTask, cancel_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from api.fleet.pages import FleetQuery
    from api.fleet.state import StoreState
    from api.fleet.view import FleetView
    from api.kafka.data_age import Freshness
    from api.reports.service import ReportService
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 1.0

FIGURES_SECONDS: Final = 60.0
"""Age in seconds at which the figures of all stores are requested again while somebody watches."""

FIGURES_SHARE: Final = 10
"""The pause between two requests, as a multiple of the time that the workers took for one."""

FIRST_FIGURES_SECONDS: Final = 1.0
"""Seconds that the first request waits for the figures."""

SIGN_OF_LIFE_SECONDS: Final = 5.0
"""Seconds after which watchers get an event even if nothing changed, as a sign of life."""

MAX_CHANGES: Final = 200
"""Changed stores that one event names; if there are more, it only says so."""


@dataclass(slots=True, eq=False)
class Watcher:
    """The changes that one watcher has not received yet.

    Attributes:
        store_id: the only store of interest; None for all.
        changed: an event that is set when there is a change.
        stores: the ids of stores that changed since the last drain.
        more_changed: whether more stores changed than `stores` may name.
    """

    store_id: str | None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    stores: dict[str, None] = field(default_factory=dict)
    more_changed: bool = False

    def add_changes(self, store_ids: list[str], *, more_changed: bool) -> None:
        """Add changes to those that the watcher has not drained yet."""
        if self.store_id is not None:
            more_changed = False
            store_ids = [self.store_id] if self.store_id in store_ids else []
        for store_id in store_ids:
            if store_id not in self.stores and len(self.stores) >= MAX_CHANGES:
                more_changed = True
                break
            self.stores[store_id] = None
        self.more_changed |= more_changed
        if store_ids or more_changed:
            self.changed.set()

    def drain_changes(self) -> tuple[list[str], bool]:
        """Return what changed since the last call, and whether more did."""
        stores, more = list(self.stores), self.more_changed
        self.stores, self.more_changed = {}, False
        return stores, more


@dataclass(frozen=True, slots=True)
class FleetSnapshot:
    """Some stores as they are at one instant, and the figures of the whole fleet.

    Attributes:
        now: the instant, µs; None if no poll has come in yet.
        stores: the stores.
        counts: the number of stores in each state, and in total.
        figures_at: the reference time of the stores' figures, µs; None if there are none yet.
        freshness: how old the data is, as answers have it.
    """

    now: int | None
    stores: list[StoreState]
    counts: dict[str, int]
    figures_at: int | None
    freshness: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FleetPage:
    """A page of the stores that match a query.

    Attributes:
        snapshot: the stores of the page.
        matching: the number of stores that match the query.
        pages: the number of pages that these stores fill, at least 1.
        timezones: the timezones of all stores, in order.
        clock: the clock that defines the present of the fleet: data or wall.
    """

    snapshot: FleetSnapshot
    matching: int
    pages: int
    timezones: list[str]
    clock: str


@dataclass(frozen=True, slots=True)
class FleetChanges:
    """The changes that one watcher has not received before.

    Attributes:
        snapshot: the stores that changed, as they are now.
        removed: the ids of stores that changed and do not exist any more, in order.
        more_changed: whether more stores changed than one event may name.
    """

    snapshot: FleetSnapshot
    removed: list[str]
    more_changed: bool


class FleetService:
    """Answers questions about the current state of stores.

    Args:
        settings: the reference clock, and when a newest poll is stale.
        view: the stores as they are now.
        reports: requests the figures from the workers.
        newest_poll: returns the time of the newest poll of all stores, µs; None without a poll.
        freshness: returns how old the data is.
        require: raises `BrokerUnavailableError` without a connection.
    """

    def __init__(
        self,
        settings: Settings,
        view: FleetView,
        reports: ReportService,
        newest_poll: Callable[[], int | None],
        freshness: Callable[[], Freshness],
        require: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._view = view
        self._reports = reports
        self._newest_poll = newest_poll
        self._freshness = freshness
        self._require = require
        self._live_at = 0
        self._last_notified: tuple[object, ...] = ()
        self._notified_at = float("-inf")
        self._watchers: set[Watcher] = set()
        self._ticker = PeriodicTask("fleet", TICK_SECONDS, self._notify_watchers)
        self._figures_task: asyncio.Task[None] | None = None
        self._figures_due = float("-inf")
        self._figures_requested_at = float("-inf")
        self.figures_at: int | None = None
        """The reference time of the figures, µs; None if there are no figures yet."""

    async def start(self) -> None:
        """Start to notify watchers of changes."""
        self._ticker.start()

    async def stop(self) -> None:
        """Stop notifying."""
        await self._ticker.stop()
        if self._figures_task is not None:
            await cancel_tasks({self._figures_task})

    @property
    def clock_name(self) -> str:
        """Return the name of the clock that defines the present of the fleet: data or wall."""
        return self._settings.reference_clock

    def now(self) -> int | None:
        """Return the instant that the fleet is shown at; None if no poll has come in yet."""
        if self._settings.reference_clock == "data":
            return self._newest_poll()
        fresh = self._freshness()
        if fresh.part is None or not self._live_at:
            self._live_at = fresh.at
        # while the data is delayed the clock stands still, so that no store becomes unknown by it
        return max(self._live_at, fresh.as_of or 0)

    def freshness(self) -> dict[str, Any]:
        """Return how old the data is, as answers have it."""
        fresh, newest = self._freshness(), self._newest_poll()
        stale = (
            self._settings.reference_clock == "data"
            and newest is not None
            and fresh.at - newest > self._settings.stale_after
        )
        return {**fresh.content(), "newest_poll": instant_text(newest), "newest_poll_stale": stale}

    async def page(self, query: FleetQuery) -> FleetPage:
        """Return a page of the stores that match a query.

        Raises:
            BrokerUnavailableError: there is no connection.
        """
        self._require()
        await self._first_figures()
        await self._advanced()
        matching, stores = await self._view.page(query)
        return FleetPage(
            self._snapshot(stores),
            matching,
            max(1, -(-matching // query.limit)),
            self._view.timezones(),
            self.clock_name,
        )

    async def changes(self, watcher: Watcher) -> FleetChanges:
        """Return what changed since the last call for a watcher, also while the broker is away."""
        changed, more = watcher.drain_changes()
        await self._advanced()
        stores = self._view.stores(changed)
        removed = sorted(set(changed) - {store.store_id for store in stores})
        return FleetChanges(self._snapshot(stores), removed, more)

    def _snapshot(self, stores: list[StoreState]) -> FleetSnapshot:
        counts = self._view.counts()
        return FleetSnapshot(self.now(), stores, counts, self.figures_at, self.freshness())

    async def store(self, store_id: str) -> StoreState | None:
        """Return a store as it is now; None where it is unknown.

        Raises:
            BrokerUnavailableError: there is no connection.
        """
        self._require()
        await self._advanced()
        stores = self._view.stores([store_id])
        return stores[0] if stores else None

    async def store_with_figures(self, store_id: str) -> StoreState | None:
        """Return a store as `store` does, with its figures.

        Old figures are requested anew; only the very first ones are waited for.
        """
        self._require()
        await self._first_figures()
        return await self.store(store_id)

    def refresh_figures(self) -> None:
        """Request the figures of all stores if they are old, without waiting for them."""
        self._renew_figures()

    async def counts(self) -> dict[str, int]:
        """Return how many stores are in each state, and in total.

        Raises:
            BrokerUnavailableError: there is no connection.
        """
        self._require()
        await self._advanced()
        return self._view.counts()

    async def stores(self, store_ids: list[str]) -> list[StoreState]:
        """Return those of some stores that exist, as they are now.

        Raises:
            BrokerUnavailableError: there is no connection.
        """
        self._require()
        await self._advanced()
        return self._view.stores(store_ids)

    def watch(self, store_id: str | None = None) -> AbstractAsyncContextManager[Watcher]:
        """Return a context in which all stores or one are watched; it goes on without a connection.

        Raises:
            BrokerUnavailableError: there is no connection now.
        """
        self._require()
        return self._watching(store_id)

    @asynccontextmanager
    async def _watching(self, store_id: str | None) -> AsyncIterator[Watcher]:
        # brings the view to now: the watcher receives only later changes
        await self._advanced()
        watcher = Watcher(store_id)
        if not self._watchers:
            # the first event has the freshness of now
            self._last_notified, self._notified_at = self._notified_freshness(), time.monotonic()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    async def _advanced(self) -> int:
        now = self.now()
        if now is None:
            # there may be business hours and timezones without any poll
            now = self._freshness().at
        await self._view.advance_to(now)
        if not self._watchers:
            # a client that begins to watch reads the whole page first
            self._view.drain_changes()
        return now

    async def _notify_watchers(self) -> None:
        if not self._watchers:
            # the state of many new stores takes a while: no request should wait for it
            await self._view.evaluate_new_stores()
            # changes before the first page are in that page
            self._view.drain_changes()
            return
        await self._advanced()
        changed, more = self._view.drain_changes()
        for watcher in self._watchers:
            watcher.add_changes(changed, more_changed=more)
        self._notify_of_freshness()
        if any(watcher.store_id is None for watcher in self._watchers):
            self._renew_figures()

    def _notify_of_freshness(self) -> None:
        """Wake all watchers when the freshness has changed, and as a sign of life."""
        freshness = self._notified_freshness()
        if (
            freshness != self._last_notified
            or time.monotonic() - self._notified_at >= SIGN_OF_LIFE_SECONDS
        ):
            self._last_notified, self._notified_at = freshness, time.monotonic()
            for watcher in self._watchers:
                watcher.changed.set()

    def _notified_freshness(self) -> tuple[object, ...]:
        """Return the values of the data's age whose change is worth an event."""
        fresh = self.freshness()
        return fresh["delayed"], fresh["part"], fresh["newest_poll_stale"]

    async def _first_figures(self) -> None:
        renewal = self._renew_figures()
        # the figures of many stores take minutes: only the first requests wait for them
        waited = time.monotonic() - self._figures_requested_at
        if renewal is not None and self.figures_at is None and waited < FIRST_FIGURES_SECONDS:
            await asyncio.wait({renewal}, timeout=FIRST_FIGURES_SECONDS - waited)

    def _renew_figures(self) -> asyncio.Task[None] | None:
        """Request the figures of all stores if they are old; return the request, if one runs."""
        if self._figures_task is not None and not self._figures_task.done():
            return self._figures_task
        now = self.now()
        if now is None or time.monotonic() < self._figures_due:
            return None
        self._figures_requested_at = time.monotonic()
        self._figures_task = asyncio.create_task(self._read_figures(now), name="figures")
        return self._figures_task

    async def _read_figures(self, now: int) -> None:
        start = time.monotonic()
        try:
            await self._request_figures(now)
        finally:
            took = time.monotonic() - start
            self._figures_due = start + max(FIGURES_SECONDS, FIGURES_SHARE * took)

    async def _request_figures(self, now: int) -> None:
        request = FleetRequest(str(uuid4()), reference_time=now)
        try:
            state = await self._reports.answer(
                request, patience=self._settings.report_deadline / SECOND
            )
        except StoreUptimeError as error:
            log.warning("the overview has no new figures: %s", error)
            return
        document = state.document
        if document is None or not set(document.row_fields) >= FIGURE_FIELDS:
            # a worker of another version, or another client, wrote this answer
            log.warning("the overview has no new figures: the answer has other columns")
            return
        parts = self._reports.stored_rows(state.report_id).parts
        await self._view.set_figures(named_rows(document, parts))
        self.figures_at = now
        for watcher in self._watchers:
            watcher.add_changes([], more_changed=True)
