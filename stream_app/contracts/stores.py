"""The records of `store-timezones` and `stores`: a store's timezone, and that it exists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import orjson

from stream_app.contracts.fields import (
    field_of,
    known_fields_only,
    object_of,
    own_object_of,
    parse_uuid,
    shown,
)
from stream_app.errors import RecordError

MAX_ZONE_LENGTH: Final = 100
"""Characters that the name of a zone may have."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class ZoneRecord:
    """The zone name of a store, known or not: an unknown one means the default zone."""

    store_id: str
    timezone: str


def encode_zone(store_id: str, timezone: str) -> bytes:
    """Write a `store-timezones` record."""
    return orjson.dumps({"store_id": store_id, "timezone_str": timezone})


def zone_name_in(text: object, what: str) -> str:
    """The name of a zone, known or not, without spaces around it.

    Raises:
        RecordError: it is no text, too long, or cannot be shown.
    """
    if not isinstance(text, str):
        raise RecordError(f"{what} is not a text but {type(text).__name__}")
    if len(text) > MAX_ZONE_LENGTH:
        raise RecordError(f"{what} is {len(text)} characters long")
    name = text.strip()
    if _CONTROL.search(name):
        # the name is shown where a line break would be more than a part of it
        raise RecordError(f"{what} has control characters: {shown(name)}")
    return name


def decode_zone(value: bytes | None) -> ZoneRecord:
    """Read a `store-timezones` record.

    Raises:
        RecordError: the record cannot be used.
    """
    content = object_of(value)
    store_id = parse_uuid(field_of(content, "store_id"))
    known_fields_only(content, "store_id", "timezone_str")
    timezone = field_of(content, "timezone_str")
    return ZoneRecord(store_id, zone_name_in(timezone, "timezone_str"))


@dataclass(frozen=True, slots=True)
class StoreRecord:
    """A store that exists, because a poll, hours or a zone named it."""

    store_id: str


def encode_store(store: StoreRecord) -> bytes:
    """Write a `stores` record."""
    return orjson.dumps({"store_id": store.store_id})


def decode_store(value: bytes | None) -> StoreRecord:
    """Read a `stores` record.

    Raises:
        RecordError: it cannot be used.
    """
    return StoreRecord(parse_uuid(field_of(own_object_of(value), "store_id")))
