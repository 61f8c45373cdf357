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
ASKED = 1_710_072_000_000_000
WEBHOOK = Webhook(REPORT, "https://hooks.example.com/x", ASKED)
DELIVERED = Attempt("delivered", "answered 200")
FAILED = Attempt("failed", "answered 500")


class World:
    """A clock that goes on while somebody sleeps, reports, and a receiver that answers in order."""

    def __init__(self, *attempts: Attempt) -> None:
        self.now = ASKED
        self.changes = Notifier()
        self.states: dict[str, ReportState] = {}
        self.attempts = list(attempts)
        self.sent: list[tuple[str, str, Any]] = []
        self.slept: list[float] = []
        self.broken = False
        self.delivery = WebhookDelivery(
            SETTINGS, lambda: self.now, self, self, self.sleep, jitter=lambda: 0.5
        )

    def is_now(self, status: str, **told: Any) -> None:
        self.states[REPORT] = report_state(REPORT, status, **told)
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


async def test_a_complete_report_is_told() -> None:
    world = World(DELIVERED)
    world.is_now("complete")

    assert await world.delivery.deliver(WEBHOOK) is None
    assert world.sent == [
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


async def test_a_failed_one_says_why() -> None:
    world = World(DELIVERED)
    world.is_now("failed", reason="no poll yet")

    assert await world.delivery.deliver(WEBHOOK) is None
    assert world.sent[0][2]["type"] == "report.failed"
    assert world.sent[0][2]["data"]["reason"] == "no poll yet"


async def test_the_end_is_waited_for() -> None:
    world = World(DELIVERED)
    running = asyncio.create_task(world.delivery.deliver(WEBHOOK))
    for status in ("pending", "running"):
        await asyncio.sleep(0)
        world.is_now(status)
        await asyncio.sleep(0)
    assert world.sent == []
    world.is_now("complete")
    assert await running is None
    assert len(world.sent) == 1


async def test_what_failed_is_tried_again_later_each_time() -> None:
    world = World(*[FAILED] * 14, DELIVERED)
    world.is_now("complete")

    assert await world.delivery.deliver(WEBHOOK) is None
    assert world.slept[:4] == [FIRST_WAIT_SECONDS * 2**n for n in range(4)]
    assert max(world.slept) == LONGEST_WAIT_SECONDS
    assert world.slept == sorted(world.slept)
    # the same body and id each time
    assert all(sent == world.sent[0] for sent in world.sent)


async def test_waits_differ_by_chance() -> None:
    world = World(FAILED, DELIVERED)
    world.is_now("complete")
    world.delivery._jitter = lambda: 0.0
    await world.delivery.deliver(WEBHOOK)
    assert world.slept == [FIRST_WAIT_SECONDS / 2]


async def test_patience_ends_with_a_last_attempt_at_its_end() -> None:
    world = World(FAILED)
    world.is_now("complete")

    assert await world.delivery.deliver(WEBHOOK) == "given up after 1d, at last answered 500"
    assert world.now == ASKED + SETTINGS.report_deadline + DAY
    assert 100 < len(world.sent) < 200


async def test_after_a_restart_patience_goes_on_from_where_it_was() -> None:
    world = World(FAILED)
    world.is_now("complete")
    world.now = ASKED + SETTINGS.report_deadline + DAY - HOUR

    assert await world.delivery.deliver(WEBHOOK) is not None
    assert world.now == ASKED + SETTINGS.report_deadline + DAY


async def test_who_wants_no_more_gets_no_more() -> None:
    world = World(FAILED, Attempt("refused", "answered 410: it wants no more"))
    world.is_now("complete")

    assert await world.delivery.deliver(WEBHOOK) == "answered 410: it wants no more"
    assert len(world.sent) == 2


async def test_a_report_that_nobody_asked_for_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "_CHECK_SECONDS", 0.01)
    world = World(DELIVERED)
    running = asyncio.create_task(world.delivery.deliver(WEBHOOK))
    world.now += SETTINGS.report_deadline
    await asyncio.sleep(0.05)
    assert not running.done(), "its request may be on its way"
    world.now += MINUTE

    assert await running is None
    assert world.sent == []


async def test_a_lost_broker_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "_CHECK_SECONDS", 0.01)
    world = World(DELIVERED)
    world.broken = True
    world.now += DAY
    running = asyncio.create_task(world.delivery.deliver(WEBHOOK))
    await asyncio.sleep(0.05)
    assert not running.done()
    world.is_now("complete")
    world.broken = False

    assert await running is None
    assert len(world.sent) == 1


async def test_at_a_real_receiver_that_fails_twice() -> None:
    world = World()
    world.is_now("complete")
    async with Receiver(503, 404, 204) as receiver:
        sender = WebhookClient(
            Allowlist(parse_webhook_hosts(receiver.host)), KEY, lambda: world.now
        )
        await sender.start()
        delivery = WebhookDelivery(SETTINGS, lambda: world.now, world, sender, world.sleep)
        assert await delivery.deliver(Webhook(REPORT, receiver.url, ASKED)) is None
        await sender.stop()
    assert len(receiver.heard) == 3
    assert {body for _, body in receiver.heard} == {receiver.heard[0][1]}
    assert len({headers["webhook-id"] for headers, _ in receiver.heard}) == 1
    # the time of each attempt is signed
    assert len({headers["webhook-signature"] for headers, _ in receiver.heard}) > 1
