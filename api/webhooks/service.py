"""Webhooks that requests name: checked, and in Kafka before the report is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.kafka.publisher import acknowledged_at
from api.webhooks.allowlist import Allowlist
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import WEBHOOKS
from stream_app.contracts.webhooks import Webhook, encode_webhook
from stream_app.errors import RecordError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from stream_app.contracts.topics import TopicSpec
    from stream_app.kafka.batch_producer import BatchMetadata
    from stream_app.settings import Settings

    Send = Callable[[TopicSpec, int, bytes, bytes], asyncio.Future[BatchMetadata]]


class WebhookService:
    """Checks and registers webhooks.

    Args:
        settings: where webhooks may go.
        clock: the wall clock in µs.
        send: hands a record over.
        require: raises `BrokerUnavailableError` without a connection.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], int],
        send: Send,
        require: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._send = send
        self._require = require
        self._allowlist = Allowlist(settings.webhook_hosts)

    def parse_url(self, content: dict[str, Any]) -> str | None:
        """Return the URL that a request's body names; None: it wants no webhook.

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
