"""The functions that the agents apply to every Kafka message, whatever its content."""

from __future__ import annotations

import logging
from typing import Any

from stream_app.contracts.dead_letters import DeadLetter
from stream_app.kafka.safe_records import UnreadableRecords, source_of

log = logging.getLogger(__name__)


def append_time_of(message: Any) -> int:
    """Return the broker's time of the message in µs: the same however often it is delivered."""
    # a float of seconds may be slightly too small: without rounding it would be a millisecond early
    append_time: int = round(message.timestamp * 1000) * 1000
    return append_time


def unreadable_in(message: Any) -> UnreadableRecords | None:
    """Return the range of offsets that a message stands for, if Kafka's client cannot read it."""
    first = message.records[0] if hasattr(message, "records") else None
    return first if isinstance(first, UnreadableRecords) else None


def dead_letter_of(message: Any, reason: str) -> DeadLetter:
    """Return the dead letter of a record that is rejected or cannot be read."""
    return DeadLetter(source_of(message), reason, message.value, message.key)


def log_dead_letter(message: Any, reason: str) -> DeadLetter:
    """Return the dead letter of a record, as `dead_letter_of` does, and log why it is rejected."""
    if isinstance(message, UnreadableRecords):
        log.error("%s", message)
    else:
        place = (message.topic, message.partition, message.offset)
        log.warning("rejected %s/%s/%s: %s", *place, reason[:200])
    return dead_letter_of(message, reason)
