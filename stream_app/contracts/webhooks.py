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
    """A URL that gets a POST when a report is complete or failed."""

    report_id: ReportId
    url: str
    """The URL that gets the POST."""
    requested_at: Instant
    """The time of the request for the report."""


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
        RecordError: the record is not valid.
    """
    return Webhook(**parse_own_record(WebhookRecord, value))
