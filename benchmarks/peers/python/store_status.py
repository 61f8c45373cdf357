"""Reads `store-status` for the peers in Python, whose environments all have orjson."""

from __future__ import annotations

import os
import zlib
from array import array
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import MutableSequence

DAY = 24 * 3600 * 1_000_000
SPAN = {"bulk": 7 * DAY, "live": DAY}
"""The time in µs whose polls are one entry of the state, by the shape of the records."""

PACKED_HEAD = 38


def read(value: bytes) -> tuple[str, array[int]]:
    """Read the store and the polls of a record, which is a packed batch or JSON."""
    if value[0] == 0xF8:
        # they are sorted, and no two have the same time
        return value[2:PACKED_HEAD].decode(), array("q", value[PACKED_HEAD:])
    content = orjson.loads(value)
    return content["store_id"], array("q", union([], _polls_of(content)))


def union(one: MutableSequence[int], other: MutableSequence[int]) -> MutableSequence[int]:
    """Return all polls of both; of two at the same time the inactive one stays."""
    if one and one[-1] >> 1 < other[0] >> 1:
        return one + other  # type: ignore[operator,no-any-return]  # two lists, or two arrays
    by_instant = {poll >> 1: poll for poll in sorted({*one, *other}, reverse=True)}
    return sorted(by_instant.values())


def is_checked(store_id: str, every: int) -> bool:
    """Return True if a store is in the sample that is checked: as `is_checked` in job.py."""
    return zlib.crc32(store_id.encode()) % every == 0


def connection(bootstrap: str) -> dict[str, str]:
    """Return the settings of the connection to the broker, with the login of the environment."""
    settings = {"bootstrap.servers": bootstrap}
    password = os.environ.get("STORE_UPTIME_KAFKA_SASL_PASSWORD")
    if password:
        settings |= {
            "security.protocol": "sasl_plaintext",
            "sasl.mechanism": "PLAIN",
            "sasl.username": os.environ["STORE_UPTIME_KAFKA_SASL_USERNAME"],
            "sasl.password": password,
        }
    return settings


def _polls_of(content: dict[str, Any]) -> list[int]:
    """Return the polls as `µs << 1 | active`."""
    if "polls" in content:
        return [instant << 1 | up for instant, up in content["polls"]]
    moment = datetime.fromisoformat(content["timestamp_utc"])
    return [round(moment.timestamp() * 1_000_000) << 1 | (content["status"] == "active")]
