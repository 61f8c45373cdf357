"""Signs webhooks as the Standard Webhooks specification says."""

from __future__ import annotations

import base64
import hmac


def signed_headers(key: bytes, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers with which a receiver can check who sent a body, and when.

    Args:
        key: the bytes of the setting WEBHOOK_SECRET.
        webhook_id: the same for every attempt, so that a receiver recognises a second delivery.
        timestamp: the time of this attempt, in seconds.
        body: the body as it is sent.
    """
    signed = b".".join((webhook_id.encode(), str(timestamp).encode(), body))
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
