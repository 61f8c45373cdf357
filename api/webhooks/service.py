"""Webhooks as the routes see them: allowed or not, and kept before a report is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.kafka.publisher import acknowledged_at
from api.webhooks.allowlist import Allowlist
from api.webhooks.client import WebhookClient
from api.webhooks.consumer import WebhookConsumer
from api.webhooks.delivery import WebhookDelivery
from stream_app.contracts.dead_letters import bounded_dead_letter, dead_letter_key
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import DEAD_LETTERS, WEBHOOKS
from stream_app.contracts.webhooks import Webhook, encode_webhook
from stream_app.errors import BrokerUnavailableError, RecordError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from api.metrics import ApiMetrics
    from api.webhooks.delivery import Reports
    from stream_app.contracts.dead_letters import DeadLetter
    from stream_app.contracts.topics import TopicSpec
    from stream_app.kafka.batch_producer import BatchMetadata
    from stream_app.settings import Settings

    Send = Callable[[TopicSpec, int, bytes, bytes], asyncio.Future[BatchMetadata]]


class WebhookService:
    """Takes webhooks in, and delivers those of the partitions that this process owns.

    Args:
        settings: where webhooks may go, and how they are signed.
        clock: the wall clock in µs.
        send: hands a record over.
        require: raises `BrokerUnavailableError` without a connection.
        reports: the reports as they stand.
        metrics: counts the dead letters.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], int],
        send: Send,
        require: Callable[[], None],
        reports: Reports,
        metrics: ApiMetrics,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._send = send
        self._require = require
        self._reports = reports
        self._metrics = metrics
        self._allowlist = Allowlist(settings.webhook_hosts)
        self._delivery: WebhookClient | None = None
        self._courier: WebhookConsumer | None = None

    async def start(self) -> None:
        """Begin to deliver, where there are webhooks at all."""
        if not self._allowlist.any:
            return
        key = self._settings.webhook_secret.get_secret_value()
        self._delivery = WebhookClient(self._allowlist, key, self._clock)
        await self._delivery.start()
        delivery = WebhookDelivery(self._settings, self._clock, self._reports, self._delivery)
        self._courier = WebhookConsumer(
            self._settings, delivery.deliver, self._dead_letter, self._connected
        )
        await self._courier.start()

    async def stop(self) -> None:
        """Let go of what is under way: it comes again to another process, or to the next one."""
        if self._courier is not None:
            await self._courier.stop()
        if self._delivery is not None:
            await self._delivery.stop()

    def waiting(self) -> int:
        """How many webhooks this process waits for or tries to deliver."""
        return 0 if self._courier is None else self._courier.in_flight

    def deferred(self) -> int:
        """How many stay in Kafka until their host and port has room for them."""
        return 0 if self._courier is None else self._courier.shares.waiting

    def crowded(self) -> int:
        """How many hosts and ports have more webhooks than their share of the room."""
        return 0 if self._courier is None else self._courier.shares.crowded()

    def parse_url(self, content: dict[str, Any]) -> str | None:
        """The URL that a request's body names; None: it wants no webhook.

        Raises:
            RecordError: it cannot be used.
        """
        webhook = content.get("webhook")
        if webhook is None:
            return None
        if not isinstance(webhook, dict) or set(webhook) != {"url"}:
            raise RecordError('webhook is not an object such as {"url": "https://..."}')
        url: str = webhook["url"]
        self._allowlist.check(url)
        return url

    async def register(self, report_id: str, url: str) -> None:
        """Keep a webhook; returns when the broker holds it.

        Raises:
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        self._require()
        key = report_id.encode()
        value = encode_webhook(Webhook(report_id, url, self._clock()))
        partition = partition_of(key, WEBHOOKS.partitions(self._settings))
        await acknowledged_at(self._send(WEBHOOKS, partition, key, value))

    async def _dead_letter(self, letter: DeadLetter) -> None:
        self._metrics.dead_letters.count(letter)
        key = dead_letter_key(letter)
        await acknowledged_at(self._send(DEAD_LETTERS, 0, key, bounded_dead_letter(letter)))

    def _connected(self) -> bool:
        try:
            self._require()
        except BrokerUnavailableError:
            return False
        return True
