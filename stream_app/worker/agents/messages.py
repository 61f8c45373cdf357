"""What the agents read off every Kafka message, whatever it carries."""

from __future__ import annotations

import logging
from typing import Any

from stream_app.contracts.dead_letters import DeadLetter
from stream_app.kafka.safe_records import UnreadableRecords, source_of

log = logging.getLogger(__name__)


def taken_at(message: Any) -> int:
    """When the broker took the message, in µs: the same however often it is delivered."""
    # seconds in a float are a hair below some milliseconds: cut off, they would be 1 µs early
    taken: int = round(message.timestamp * 1000) * 1000
    return taken


def unreadable_in(message: Any) -> UnreadableRecords | None:
    """The range of offsets that a message stands for, where that cannot be read."""
    first = message.records[0] if hasattr(message, "records") else None
    return first if isinstance(first, UnreadableRecords) else None


def dead_letter_of(message: Any, reason: str) -> DeadLetter:
    """The dead letter of what is refused or cannot be read, and a line about it in the log."""
    if isinstance(message, UnreadableRecords):
        log.error("%s", message)
    else:
        place = (message.topic, message.partition, message.offset)
        log.warning("refused %s/%s/%s: %s", *place, reason[:200])
    return letter_of(message, reason)


def letter_of(message: Any, reason: str) -> DeadLetter:
    """The dead letter alone, of what is told in the log in another way."""
    return DeadLetter(source_of(message), reason, message.value, message.key)
