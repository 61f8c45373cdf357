"""Delivers the webhooks of the partitions that this process owns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.kafka.publisher import acknowledged_at
from api.webhooks.client import WebhookClient
from api.webhooks.consumer import WebhookConsumer
from api.webhooks.delivery import WebhookDelivery
from stream_app.contracts.dead_letters import bounded_dead_letter, dead_letter_key
from stream_app.contracts.topics import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.kafka.connection import KafkaConnection
    from api.metrics import ApiMetrics
    from api.webhooks.allowlist import Allowlist
    from api.webhooks.delivery import Reports
    from stream_app.contracts.dead_letters import DeadLetter
    from stream_app.settings import Settings


class WebhookDeliveries:
    """Consumes webhooks, waits for their reports and calls their receivers.

    Args:
        settings: how to reach the broker, the secret, and when a webhook is given up.
        allowlist: the hosts that webhooks may go to; if it is empty, nothing is consumed.
        clock: the wall clock in µs.
        connection: sends the dead letters.
        reports: returns the state of a report.
        metrics: counts the dead letters.
    """

    def __init__(
        self,
        settings: Settings,
        allowlist: Allowlist,
        clock: Callable[[], int],
        connection: KafkaConnection,
        reports: Reports,
        metrics: ApiMetrics,
    ) -> None:
        self._settings = settings
        self._allowlist = allowlist
        self._clock = clock
        self._connection = connection
        self._reports = reports
        self._metrics = metrics
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
            self._settings, delivery.deliver, self._write_dead_letter, self._is_connected
        )
        await self._consumer.start()

    async def stop(self) -> None:
        """Cancel the deliveries in flight: the next owner of their partitions repeats them."""
        if self._consumer is not None:
            await self._consumer.stop()
        if self._client is not None:
            await self._client.stop()

    def waiting(self) -> int:
        """Return how many webhooks this process waits for or tries to deliver."""
        return 0 if self._consumer is None else self._consumer.in_flight

    def deferred(self) -> int:
        """Return how many webhooks stay in Kafka until their receiver has room for them."""
        return 0 if self._consumer is None else self._consumer.limiter.deferred

    def crowded(self) -> int:
        """Return how many receivers have webhooks that stay in Kafka."""
        return 0 if self._consumer is None else self._consumer.limiter.crowded()

    async def _write_dead_letter(self, dead_letter: DeadLetter) -> None:
        self._metrics.dead_letters.count(dead_letter)
        key, value = dead_letter_key(dead_letter), bounded_dead_letter(dead_letter)
        await acknowledged_at(self._connection.send(DEAD_LETTERS, 0, key, value))

    def _is_connected(self) -> bool:
        return self._connection.unavailable_reason is None
