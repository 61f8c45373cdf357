"""What the bodies of HTTP requests say about stores: the facts of records, in forms for people.

Like records: lenient in what semantics allow, everything else refused with a reason. Fields that
are not known are refused too, of a body as of each item in it: a misspelt one would be taken for
left out, and a poll without its time is one of now.
"""

from __future__ import annotations

from typing import Any, Final

from stream_app.contracts.business_hours import BusinessHours, parse_row, parse_rows
from stream_app.contracts.fields import field_of, known_fields_only, parse_status, parse_uuid, shown
from stream_app.contracts.stores import zone_name_in
from stream_app.domain.business_hours import Row, whole_day
from stream_app.domain.timestamps import parse_instant
from stream_app.errors import RecordError

Poll = tuple[int, bool]
"""`(instant in µs, active)`."""

_ROW_FIELDS: Final = {"dayOfWeek", "day", "start_time_local", "end_time_local"}


def object_in(content: Any, *fields: str) -> dict[str, Any]:
    """The content itself, where it is a JSON object with no other fields than these.

    Raises:
        RecordError: it is not.
    """
    if not isinstance(content, dict):
        raise RecordError(f"not a JSON object but {type(content).__name__}")
    known_fields_only(content, *fields)
    return content


def poll_in(content: Any, now: int) -> Poll:
    """The poll of `POST /stores/{store_id}/status`.

    Args:
        content: `{"status", "timestamp_utc"?}`.
        now: the instant of a poll that names none, µs.

    Raises:
        RecordError: it cannot be used.
    """
    return _poll(object_in(content, "status", "timestamp_utc"), now)


def poll_item_in(content: Any, now: int) -> tuple[str, Poll]:
    """The store and the poll of one item of `POST /status`.

    Args:
        content: `{"store_id", "status", "timestamp_utc"?}`.
        now: the instant of a poll that names none, µs.

    Raises:
        RecordError: it cannot be used.
    """
    item = object_in(content, "store_id", "status", "timestamp_utc")
    return parse_uuid(field_of(item, "store_id")), _poll(item, now)


def hours_in(content: Any) -> BusinessHours:
    """The business hours of `PUT /stores/{store_id}/business_hours`.

    Args:
        content: `{"hours": [...]}` of `[day, start, end]`, or of objects with the CSV's column
            names: `dayOfWeek` or `day`, `start_time_local`, `end_time_local`. No row: open 24/7.

    Raises:
        RecordError: a row cannot be used; hours are taken as a whole or not at all.
    """
    return BusinessHours(parse_rows(field_of(object_in(content, "hours"), "hours"), _row))


def zone_in(content: Any) -> str:
    """The zone name of `PUT /stores/{store_id}/timezone`, known or not.

    Args:
        content: `{"timezone_str": ...}`, or `timezone` for the field's name.

    Raises:
        RecordError: it cannot be used.
    """
    item = object_in(content, "timezone_str", "timezone")
    if len(item) != 1:
        raise RecordError("one of timezone_str and timezone is needed")
    ((name, text),) = item.items()
    return zone_name_in(text, name)


def _poll(content: dict[str, Any], now: int) -> Poll:
    active = parse_status(field_of(content, "status"))
    told = content.get("timestamp_utc")
    return (now if told is None else parse_instant(told)), active


def _row(item: Any) -> Row:
    (row,) = BusinessHours((_any_row(item),)).rows
    return row


def _any_row(item: Any) -> Row:
    match item:
        case {"start_time_local": str() as start, "end_time_local": str() as end}:
            days = [item[name] for name in ("dayOfWeek", "day") if name in item]
            day = whole_day(days[0]) if len(days) == 1 else None
            if day is not None and item.keys() <= _ROW_FIELDS:
                return day, start, end
        case list():
            try:
                return parse_row(item)
            except RecordError:
                pass
    raise RecordError(
        "neither [day, start, end] nor an object of dayOfWeek (a number), start_time_local and "
        f"end_time_local: {shown(item)}"
    )
