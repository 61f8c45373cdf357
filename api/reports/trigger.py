"""Triggers a report: checks its stores, registers its webhook, and sends the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.contracts.report_requests import ReportRequest, request_fingerprint
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from api.reports.service import ReportService
    from api.stores.service import StoreService
    from api.webhooks.service import WebhookService
    from stream_app.contracts.report_requests import FleetRequest


class ReportTrigger:
    """Checks a request for a report, and sends it to the workers.

    Args:
        reports: sends the request.
        stores: knows which stores exist.
        webhooks: registers the webhook of a report.
    """

    def __init__(
        self, reports: ReportService, stores: StoreService, webhooks: WebhookService
    ) -> None:
        self._reports = reports
        self._stores = stores
        self._webhooks = webhooks

    async def trigger(
        self, request: ReportRequest | FleetRequest, webhook: str | None, *, repeatable: bool
    ) -> None:
        """Return when the broker has the request, and its webhook.

        Args:
            request: the report that is asked for.
            webhook: the URL that is called when the report has ended, not checked; None for none.
            repeatable: whether its id is made from an Idempotency-Key, so that it may exist.

        Raises:
            OverloadedReportsError: too many reports are waiting.
            StoreNotFoundError: no input names a store of the request.
            RecordError: webhooks may not go to the URL, or another request has used the key.
            BrokerUnavailableError: the broker did not acknowledge in time.
            WorkersBehindError: a store may be in what the workers have yet to apply.
        """
        if webhook is not None:
            self._webhooks.require_allowed(webhook)
        self._reports.require_capacity()
        if isinstance(request, ReportRequest):
            await self._stores.require(request.store_id)
        else:
            await self._stores.require_all(request.store_ids or ())
        repeated = repeatable and await self._is_repeated(request)
        if webhook is not None:
            # before the report, so that 202 means that the broker has both; again for a repeated
            # request, since the first one may have failed before this
            await self._webhooks.register(request.report_id, webhook)
        if not repeated:
            await self._reports.request_report(request)

    async def _is_repeated(self, request: ReportRequest | FleetRequest) -> bool:
        state = await self._reports.report(request.report_id)
        if state is None:
            return False
        if state.subject is None:
            # only its result is known, so its request cannot be compared
            return True
        if (state.subject, state.reference_time) != (
            request_fingerprint(request),
            request.reference_time,
        ):
            raise RecordError("this Idempotency-Key was used for another request")
        return True
