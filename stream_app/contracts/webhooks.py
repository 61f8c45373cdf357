"""Who wants to be told of a report's end, on the wire."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from stream_app.contracts.fields import field_of, own_object_of, parse_uuid
from stream_app.domain.timestamps import format_instant, parse_instant
from stream_app.errors import RecordError


@dataclass(frozen=True, slots=True)
class Webhook:
    """One who wants to be told.

    Attributes:
        report_id: of which report.
        url: where.
        requested_at: µs, when it was asked for.
    """

    report_id: str
    url: str
    requested_at: int


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
    content = own_object_of(value)
    url = field_of(content, "url")
    if not isinstance(url, str):
        raise RecordError(f"url is not a text but {type(url).__name__}")
    return Webhook(
        parse_uuid(field_of(content, "report_id"), "report_id"),
        url,
        parse_instant(field_of(content, "requested_at")),
    )
