"""Queries about one store: a worker answers them, and nobody fetches the result later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from api.fleet.state import FIGURE_FIELDS
from api.stores.store_state import store_from
from stream_app.contracts.fields import shown
from stream_app.contracts.report_requests import ReportRequest
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import parse_instant
from stream_app.errors import ReportError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.fleet.service import FleetService
    from api.fleet.state import StoreState
    from api.reports.service import ReportService
    from api.stores.service import StoreService
    from stream_app.contracts.report_requests import Include

SETTINGS_FIELDS: Final = ("timezone", "stale_after", "lookback", "default_status")
"""The fields of a worker's answer with the settings that it was computed with."""

SUMMARY_FIELDS: Final = (*SETTINGS_FIELDS, "business_hours", "reference_time", "windows")
"""The fields of a worker's answer that the summary of a store has unchanged."""

TIMELINE_FIELDS: Final = ("start", "end", "coverage", *SETTINGS_FIELDS, "intervals")
"""The fields of a worker's answer that a timeline has unchanged."""

INCIDENT_FIELDS: Final = ("start", "end", "timezone")
"""The fields of a worker's answer that a page of incidents has unchanged."""


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """A page of the incidents of a store.

    Attributes:
        content: the worker's answer.
        incidents: the incidents of the page, the newest one first.
        has_more: whether older incidents come after the page.
    """

    content: dict[str, Any]
    incidents: list[dict[str, Any]]
    has_more: bool


class StoreQueries:
    """Asks the workers about one store.

    An answer includes everything that was acknowledged before the query. The view of the fleet
    receives a poll only a moment after its 202.

    Args:
        stores: knows which stores exist.
        reports: sends the query and waits for the answer.
        fleet: says which clock is the reference clock, and its time.
    """

    def __init__(self, stores: StoreService, reports: ReportService, fleet: FleetService) -> None:
        self._stores = stores
        self._reports = reports
        self._fleet = fleet

    async def ask(
        self,
        store_id: str,
        reference: int | None,
        spec: ReportSpec,
        details: tuple[Include, ...],
        needed: Iterable[str],
    ) -> dict[str, Any]:
        """Return the fields of a worker's answer about a store.

        Args:
            store_id: the store.
            reference: the end of the time range, µs; None for now.
            spec: the figures that the answer contains.
            details: the details that it contains besides.
            needed: names of fields that it must have.

        Raises:
            OverloadedReportsError: too many reports are waiting.
            StoreNotFoundError: no input names the store.
            ReportError: there is no answer, and why.
            BrokerUnavailableError: the broker did not answer in time.
            WorkersBehindError: no worker answered in time.
        """
        self._reports.require_capacity()
        await self._stores.require(store_id)
        request = ReportRequest(str(uuid4()), store_id, reference, spec=spec, details=details)
        state = await self._reports.answer(request)
        if state.document is None:
            raise ReportError(f"the answer about store {shown(store_id)} is gone: ask again")
        fields = state.document.fields
        missing = [name for name in needed if name not in fields]
        if missing:
            # a worker of another version, or another client, wrote this answer
            raise ReportError(f"the answer about store {store_id} has no {missing[0]}: ask again")
        return fields

    async def timeline(
        self, store_id: str, reference: int | None, spec: ReportSpec
    ) -> dict[str, Any]:
        """Return a worker's answer with the timeline and the local days of a store.

        Args:
            store_id: the store.
            reference: the end of the time range, µs; None for now.
            spec: the time range.

        Raises:
            StoreUptimeError: the errors of `ask`.
        """
        needed = (*TIMELINE_FIELDS, "local_days")
        return await self.ask(store_id, reference, spec, ("timeline", "days"), needed)

    async def incidents(
        self,
        store_id: str,
        reference: int | None,
        spec: ReportSpec,
        *,
        before: int | None,
        limit: int,
    ) -> IncidentPage:
        """Return a page of the incidents of a store, the newest one first.

        Args:
            store_id: the store.
            reference: the end of the time range, µs; None for now.
            spec: the time range.
            before: the page has incidents that start before this time, µs; None for the first page.
            limit: the largest number of incidents on the page.

        Raises:
            StoreUptimeError: the errors of `ask`.
        """
        needed = (*INCIDENT_FIELDS, "incidents")
        content = await self.ask(store_id, reference, spec, ("incidents",), needed)
        older = [
            incident
            for incident in content["incidents"]
            if before is None or parse_instant(incident["start"]) < before
        ]
        return IncidentPage(content, older[:limit], has_more=len(older) > limit)

    async def state_if_known(self, store_id: str) -> StoreState | None:
        """Return the state of a store; None if there is no answer, such as before the first poll.

        Raises:
            StoreUptimeError: the other errors of `ask`.
        """
        try:
            _, store, _ = await self.current(store_id)
        except ReportError:
            return None
        return store

    async def current(
        self, store_id: str, details: tuple[Include, ...] = (), names: Iterable[str] = ()
    ) -> tuple[dict[str, Any], StoreState, int]:
        """Return a worker's answer about a store, the store's state, and the answer's time, µs.

        Args:
            store_id: the store.
            details: the details that the answer contains besides its newest poll.
            names: further fields that the answer must have.

        Raises:
            StoreUptimeError: the errors of `ask`.
        """
        needed = (*SETTINGS_FIELDS, "business_hours", "reference_time", *names, "last_poll")
        content = await self.ask(
            store_id, None, ReportSpec(), (*details, "last_poll"), (*needed, *FIGURE_FIELDS)
        )
        now = parse_instant(content["reference_time"])
        if self._fleet.clock_name == "wall":
            now = max(now, self._fleet.now() or 0)
        return content, store_from(content, now), now
