"""The records of `webhooks`: the URL that gets a POST when a report ends."""

from dataclasses import dataclass

import orjson
from typing_extensions import TypedDict

from stream_app.contracts.fields import Instant, ReportId, closed, parse_own_record
from stream_app.domain.timestamps import format_instant


@dataclass(frozen=True, slots=True)
class Webhook:
    """A URL that gets a POST when a report ends.

    Attributes:
        report_id: the report.
        url: the URL.
        requested_at: µs; the time of the request for the report.
    """

    report_id: str
    url: str
    requested_at: int


@closed
class WebhookRecord(TypedDict):
    """Who wants to be told of a report's end."""

    report_id: ReportId
    url: str
    """Where the news is sent."""
    requested_at: Instant
    """When the report was asked for."""


def encode_webhook(webhook: Webhook) -> bytes:
    """Write a `webhooks` record."""
    return orjson.dumps(
        {
            "report_id": webhook.report_id,
            "url": webhook.url,
            "requested_at": format_instant(webhook.requested_at),
        }
    )


def decode_webhook(value: bytes | None) -> Webhook:
    """Read a `webhooks` record.

    Raises:
        RecordError: it cannot be used.
    """
    return Webhook(**parse_own_record(WebhookRecord, value))
