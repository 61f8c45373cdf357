"""Delivers a webhook: waits for the end of its report, and calls its receiver until it accepts."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from stream_app.contracts.report_results import FINAL
from stream_app.domain.timestamps import MINUTE, SECOND, format_instant
from stream_app.durations import format_duration
from stream_app.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from api.kafka.notifier import Notifier
    from api.reports.view import ReportState
    from api.webhooks.client import Attempt
    from stream_app.contracts.webhooks import Webhook
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS: Final = 1.0
"""Pause after the first failed attempt; each further pause is twice as long."""

LONGEST_WAIT_SECONDS: Final = 600.0
"""Longest pause between two attempts."""

_UNKNOWN_REPORT_GRACE: Final = MINUTE
"""Time after a report's deadline, µs: a report that is unknown by then was never requested."""

_CHECK_SECONDS: Final = 60.0
"""Seconds after which the state of a report is read again without a notification."""

_MAX_DOUBLINGS: Final = 16


class Reports(Protocol):
    """Returns the state of reports, and notifies of changes, as `ReportService` does."""

    changes: Notifier

    async def report(self, report_id: str) -> ReportState | None:
        """Return the state of a report; None if it was not requested."""


class Sender(Protocol):
    """Makes one attempt to deliver, as `WebhookClient` does."""

    async def post(self, url: str, webhook_id: str, body: bytes) -> Attempt:
        """Try once to deliver a body, and return the result."""


class WebhookDelivery:
    """Delivers webhooks, or gives them up after a time.

    Args:
        settings: the deadline of reports, and how long a webhook is tried after it.
        clock: the wall clock in µs.
        reports: returns the state of a report.
        sender: makes one attempt.
        sleep: pauses for a number of seconds.
        jitter: returns a random number from 0 to 1.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], int],
        reports: Reports,
        sender: Sender,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._reports = reports
        self._sender = sender
        self._sleep = sleep
        self._jitter = jitter

    async def deliver(self, webhook: Webhook) -> str | None:
        """Wait until a report has ended, and notify the receiver.

        Returns:
            why the webhook was given up; None if it is delivered, or nobody requested the report.
        """
        state = await self._wait_for_result(webhook)
        if state is None:
            # its request was never acknowledged, so its client got no 202
            log.info("webhook of report %s: there is no such report", webhook.report_id)
            return None
        body = self._body(state)
        for attempts in count(1):
            attempt = await self._sender.post(webhook.url, webhook.report_id, body)
            if attempt.outcome == "delivered":
                log.info("webhook of report %s: %s", webhook.report_id, attempt.detail)
                return None
            if attempt.outcome == "refused":
                return attempt.detail
            remaining = self._give_up_at(webhook) - self._clock()
            if remaining <= 0:
                patience = format_duration(self._settings.webhook_patience)
                return f"given up after {patience}, at last {attempt.detail}"
            if attempts == 1:
                log.info(
                    "webhook of report %s, to be tried again: %s", webhook.report_id, attempt.detail
                )
            await self._sleep(min(self._wait(attempts), remaining / SECOND))
        raise AssertionError("count() has no end")

    def _wait(self, attempts: int) -> float:
        """Return the seconds until the next attempt: twice as many each time, with jitter."""
        doubled = FIRST_WAIT_SECONDS * (1 << min(attempts - 1, _MAX_DOUBLINGS))
        return min(doubled, LONGEST_WAIT_SECONDS) * (0.5 + self._jitter())

    def _give_up_at(self, webhook: Webhook) -> int:
        return (
            webhook.requested_at + self._settings.report_deadline + self._settings.webhook_patience
        )

    async def _wait_for_result(self, webhook: Webhook) -> ReportState | None:
        never_requested_at = (
            webhook.requested_at + self._settings.report_deadline + _UNKNOWN_REPORT_GRACE
        )
        with self._reports.changes.subscribe(webhook.report_id) as changed:
            while True:
                now = self._clock()
                try:
                    state = await self._reports.report(webhook.report_id)
                except BrokerUnavailableError:
                    pass
                else:
                    if state is not None and state.status in FINAL:
                        return state
                    if state is None and now >= never_requested_at:
                        return None
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CHECK_SECONDS):
                        await changed.wait()
                changed.clear()

    def _body(self, state: ReportState) -> bytes:
        data = {"report_id": state.report_id, "status": state.status}
        if state.status == "failed":
            data["reason"] = state.reason or ""
        data["location"] = f"/get_report/{state.report_id}"
        return orjson.dumps(
            {
                "type": f"report.{state.status}",
                "timestamp": format_instant(self._clock()),
                "data": data,
            }
        )
