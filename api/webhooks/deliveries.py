"""Delivers the webhooks of the partitions that this process owns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.kafka.publisher import acknowledged_at
from api.webhooks.allowlist import Allowlist
from api.webhooks.client import WebhookClient
from api.webhooks.consumer import WebhookConsumer
from api.webhooks.delivery import WebhookDelivery
from stream_app.contracts.dead_letters import bounded_dead_letter, dead_letter_key
from stream_app.contracts.topics import DEAD_LETTERS
from stream_app.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.metrics import ApiMetrics
    from api.webhooks.delivery import Reports
    from api.webhooks.service import Send
    from stream_app.contracts.dead_letters import DeadLetter
    from stream_app.settings import Settings


class WebhookDeliveries:
    """Consumes webhooks, waits for their reports and calls their receivers.

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
        self._client: WebhookClient | None = None
        self._consumer: WebhookConsumer | None = None

    async def start(self) -> None:
        """Start to deliver, unless the allow-list is empty."""
        if not self._allowlist.any:
            return
        key = self._settings.webhook_secret.get_secret_value()
        self._client = WebhookClient(self._allowlist, key, self._clock)
        await self._client.start()
        delivery = WebhookDelivery(self._settings, self._clock, self._reports, self._client)
        self._consumer = WebhookConsumer(
            self._settings, delivery.deliver, self._dead_letter, self._connected
        )
        await self._consumer.start()

    async def stop(self) -> None:
        """Cancel what is in flight: it is delivered by another process, or by the next one."""
        if self._consumer is not None:
            await self._consumer.stop()
        if self._client is not None:
            await self._client.stop()

    def waiting(self) -> int:
        """Return how many webhooks this process waits for or tries to deliver."""
        return 0 if self._consumer is None else self._consumer.in_flight

    def deferred(self) -> int:
        """Return how many stay in Kafka until their host and port has room for them."""
        return 0 if self._consumer is None else self._consumer.shares.waiting

    def crowded(self) -> int:
        """Return how many hosts and ports have more webhooks than their share of the room."""
        return 0 if self._consumer is None else self._consumer.shares.crowded()

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
