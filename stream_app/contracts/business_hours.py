"""The records of `store-business-hours`: all business hours of a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from stream_app.contracts.fields import field_of, known_fields_only, object_of, parse_uuid, shown
from stream_app.domain.business_hours import whole_day
from stream_app.errors import RecordError

MAX_HOURS_ROWS: Final = 1_000
"""Rows of business hours that one store may have."""


@dataclass(frozen=True, slots=True)
class HoursRecord:
    """All business-hours rows of a store: `(day, start, end)`, 0 = Monday, times as in the file."""

    store_id: str
    hours: tuple[tuple[int, str, str], ...]


def encode_hours(store_id: str, hours: list[tuple[int, str, str]]) -> bytes:
    """Write a `store-business-hours` record."""
    return orjson.dumps({"store_id": store_id, "hours": hours})


def decode_hours(value: bytes | None) -> HoursRecord:
    """Read a `store-business-hours` record: shapes only, the domain judges the times.

    Raises:
        RecordError: the record cannot be used; hours are taken as a whole or not at all.
    """
    content = object_of(value)
    store_id = parse_uuid(field_of(content, "store_id"))
    known_fields_only(content, "store_id", "hours")
    items = field_of(content, "hours")
    if not isinstance(items, list):
        raise RecordError(f"hours is not a list but {type(items).__name__}")
    if len(items) > MAX_HOURS_ROWS:
        raise RecordError(f"{len(items)} rows of hours; {MAX_HOURS_ROWS} are the most")
    rows: list[tuple[int, str, str]] = []
    for index, item in enumerate(items):
        match item:
            case [number, str() as start, str() as end] if (day := whole_day(number)) is not None:
                rows.append((day, start, end))
            case _:
                raise RecordError(f"row {index}: not [day, start, end]: {shown(item)}")
    return HoursRecord(store_id, tuple(rows))
