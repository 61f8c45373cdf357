"""What the agents read off every Kafka message, whatever it carries."""

from __future__ import annotations

import logging
from typing import Any

from stream_app.contracts.records import DeadLetter

log = logging.getLogger(__name__)


def taken_at(message: Any) -> int:
    """When the broker took the message, in µs: the same however often it is delivered."""
    # seconds in a float are a hair below some milliseconds: cut off, they would be 1 µs early
    taken: int = round(message.timestamp * 1000) * 1000
    return taken


def dead_letter_of(message: Any, reason: str) -> DeadLetter:
    """The dead letter of a message that is refused, and a line about it in the log."""
    source: dict[str, str | int] = {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
    }
    log.warning("refused %s/%s/%s: %s", *source.values(), reason[:200])
    return DeadLetter(source, reason, message.value, message.key)
