"""Checks the webhooks that requests name, and writes them to Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.kafka.publisher import acknowledged_at
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import WEBHOOKS
from stream_app.contracts.webhooks import Webhook, encode_webhook
from stream_app.errors import RecordError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from api.webhooks.allowlist import Allowlist
    from stream_app.contracts.topics import TopicSpec
    from stream_app.kafka.batch_producer import BatchMetadata
    from stream_app.settings import Settings

    Send = Callable[[TopicSpec, int, bytes, bytes], asyncio.Future[BatchMetadata]]


class WebhookService:
    """Checks and registers webhooks.

    Args:
        settings: the number of partitions.
        allowlist: the hosts that webhooks may go to.
        clock: the wall clock in µs.
        send: sends a record to a partition.
        require: raises `BrokerUnavailableError` without a connection.
    """

    def __init__(
        self,
        settings: Settings,
        allowlist: Allowlist,
        clock: Callable[[], int],
        send: Send,
        require: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._send = send
        self._require = require
        self._allowlist = allowlist

    def require_allowed(self, url: object) -> None:
        """Raise an error unless webhooks may go to a URL.

        Raises:
            RecordError: webhooks may not go to the URL, or it is not a URL.
        """
        self._allowlist.check(url)

    async def register(self, report_id: str, url: str) -> None:
        """Write a webhook to Kafka; returns when the broker has it.

        Raises:
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        self._require()
        key = report_id.encode()
        value = encode_webhook(Webhook(report_id, url, self._clock()))
        partition = partition_of(key, WEBHOOKS.partitions(self._settings))
        await acknowledged_at(self._send(WEBHOOKS, partition, key, value))


def url_in(fields: Mapping[str, Any]) -> str | None:
    """Return the URL of the webhook that a request's body names, not checked; None without one.

    Raises:
        RecordError: the webhook is not an object with a URL alone.
    """
    webhook = fields.get("webhook")
    if webhook is None:
        return None
    if not isinstance(webhook, dict) or set(webhook) != {"url"}:
        raise RecordError('webhook is not an object such as {"url": "https://..."}')
    url: str = webhook["url"]
    return url
