from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from api.kafka.notifier import Notifier
from api.webhooks import delivery as delivery_module
from api.webhooks.allowlist import Allowlist
from api.webhooks.client import Attempt, WebhookClient
from api.webhooks.delivery import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, WebhookDelivery
from stream_app.contracts.webhooks import Webhook
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND
from stream_app.errors import BrokerUnavailableError
from stream_app.settings import Settings
from stream_app.webhook_hosts import parse_webhook_hosts
from tests.fakes import report_state
from tests.unit.api.answers import REPORT
from tests.unit.api.webhooks.receiver import KEY, Receiver

if TYPE_CHECKING:
    import pytest

    from api.reports.view import ReportState

SETTINGS = Settings.from_environment({})
REQUESTED_AT = 1_710_072_000_000_000
WEBHOOK = Webhook(REPORT, "https://hooks.example.com/x", REQUESTED_AT)
DELIVERED = Attempt("delivered", "answered 200")
FAILED = Attempt("failed", "answered 500")


class Harness:
    """A clock that sleeping moves, the reports, and a receiver that answers in order."""

    def __init__(self, *attempts: Attempt) -> None:
        self.now = REQUESTED_AT
        self.changes = Notifier()
        self.states: dict[str, ReportState] = {}
        self.attempts = list(attempts)
        self.sent: list[tuple[str, str, Any]] = []
        self.slept: list[float] = []
        self.broken = False
        self.delivery = WebhookDelivery(
            SETTINGS, lambda: self.now, self, self, self.sleep, jitter=lambda: 0.5
        )

    def set_status(self, status: str, **fields: Any) -> None:
        self.states[REPORT] = report_state(REPORT, status, **fields)
        self.changes.notify(REPORT)

    async def report(self, report_id: str) -> ReportState | None:
        if self.broken:
            raise BrokerUnavailableError("away")
        return self.states.get(report_id)

    async def post(self, url: str, webhook_id: str, body: bytes) -> Attempt:
        self.sent.append((url, webhook_id, orjson.loads(body)))
        return self.attempts.pop(0) if len(self.attempts) > 1 else self.attempts[0]

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += round(seconds * SECOND)


async def test_a_complete_report_is_sent() -> None:
    harness = Harness(DELIVERED)
    harness.set_status("complete")

    assert await harness.delivery.deliver(WEBHOOK) is None
    assert harness.sent == [
        (
            WEBHOOK.url,
            REPORT,
            {
                "type": "report.complete",
                "timestamp": "2024-03-10T12:00:00Z",
                "data": {
                    "report_id": REPORT,
                    "status": "complete",
                    "location": f"/get_report/{REPORT}",
                },
            },
        )
    ]


async def test_a_failed_report_is_sent_with_its_reason() -> None:
    harness = Harness(DELIVERED)
    harness.set_status("failed", reason="no poll yet")

    assert await harness.delivery.deliver(WEBHOOK) is None
    assert harness.sent[0][2]["type"] == "report.failed"
    assert harness.sent[0][2]["data"]["reason"] == "no poll yet"


async def test_a_webhook_waits_for_the_end_of_its_report() -> None:
    harness = Harness(DELIVERED)
    running = asyncio.create_task(harness.delivery.deliver(WEBHOOK))
    for status in ("pending", "running"):
        await asyncio.sleep(0)
        harness.set_status(status)
        await asyncio.sleep(0)
    assert harness.sent == []
    harness.set_status("complete")
    assert await running is None
    assert len(harness.sent) == 1


async def test_the_wait_after_a_failed_attempt_becomes_longer_each_time() -> None:
    harness = Harness(*[FAILED] * 14, DELIVERED)
    harness.set_status("complete")

    assert await harness.delivery.deliver(WEBHOOK) is None
    assert harness.slept[:4] == [FIRST_WAIT_SECONDS * 2**n for n in range(4)]
    assert max(harness.slept) == LONGEST_WAIT_SECONDS
    assert harness.slept == sorted(harness.slept)
    # the same body and id each time
    assert all(sent == harness.sent[0] for sent in harness.sent)


async def test_waits_have_a_random_part() -> None:
    harness = Harness(FAILED, DELIVERED)
    harness.set_status("complete")
    harness.delivery._jitter = lambda: 0.0
    await harness.delivery.deliver(WEBHOOK)
    assert harness.slept == [FIRST_WAIT_SECONDS / 2]


async def test_the_last_attempt_is_at_the_end_of_the_patience() -> None:
    harness = Harness(FAILED)
    harness.set_status("complete")

    assert await harness.delivery.deliver(WEBHOOK) == "given up after 1d, at last answered 500"
    assert harness.now == REQUESTED_AT + SETTINGS.report_deadline + DAY
    assert 100 < len(harness.sent) < 200


async def test_after_a_restart_the_patience_ends_at_the_same_time() -> None:
    harness = Harness(FAILED)
    harness.set_status("complete")
    harness.now = REQUESTED_AT + SETTINGS.report_deadline + DAY - HOUR

    assert await harness.delivery.deliver(WEBHOOK) is not None
    assert harness.now == REQUESTED_AT + SETTINGS.report_deadline + DAY


async def test_a_receiver_that_answers_410_gets_no_more() -> None:
    harness = Harness(FAILED, Attempt("refused", "answered 410: it wants no more"))
    harness.set_status("complete")

    assert await harness.delivery.deliver(WEBHOOK) == "answered 410: it wants no more"
    assert len(harness.sent) == 2


async def test_the_webhook_of_a_report_that_was_never_requested_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery_module, "_CHECK_SECONDS", 0.01)
    harness = Harness(DELIVERED)
    running = asyncio.create_task(harness.delivery.deliver(WEBHOOK))
    harness.now += SETTINGS.report_deadline
    await asyncio.sleep(0.05)
    assert not running.done(), "its request may be in flight"
    harness.now += MINUTE

    assert await running is None
    assert harness.sent == []


async def test_a_delivery_waits_for_a_lost_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "_CHECK_SECONDS", 0.01)
    harness = Harness(DELIVERED)
    harness.broken = True
    harness.now += DAY
    running = asyncio.create_task(harness.delivery.deliver(WEBHOOK))
    await asyncio.sleep(0.05)
    assert not running.done()
    harness.set_status("complete")
    harness.broken = False

    assert await running is None
    assert len(harness.sent) == 1


async def test_a_real_receiver_that_fails_twice_gets_the_webhook_at_last() -> None:
    harness = Harness()
    harness.set_status("complete")
    async with Receiver(503, 404, 204) as receiver:
        sender = WebhookClient(
            Allowlist(parse_webhook_hosts(receiver.host)), KEY, lambda: harness.now
        )
        await sender.start()
        delivery = WebhookDelivery(SETTINGS, lambda: harness.now, harness, sender, harness.sleep)
        assert await delivery.deliver(Webhook(REPORT, receiver.url, REQUESTED_AT)) is None
        await sender.stop()
    assert len(receiver.requests) == 3
    assert {body for _, body in receiver.requests} == {receiver.requests[0][1]}
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    # the time of each attempt is signed
    assert len({headers["webhook-signature"] for headers, _ in receiver.requests}) > 1
