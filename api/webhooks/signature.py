"""Signatures as the Standard Webhooks specification has them."""

from __future__ import annotations

import base64
import hmac

from stream_app.settings import secret_bytes


def signed_headers(secret: str, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows who sent a body, and when.

    Args:
        secret: the setting WEBHOOK_SECRET.
        webhook_id: the same for every attempt, so that a receiver knows a double.
        timestamp: of this attempt, in seconds.
        body: as it is sent.
    """
    signed = b".".join((webhook_id.encode(), str(timestamp).encode(), body))
    signature = base64.b64encode(hmac.digest(secret_bytes(secret), signed, "sha256")).decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
