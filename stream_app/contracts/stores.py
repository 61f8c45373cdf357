"""The records of `store-timezones` and `stores`: a store's timezone, and that it exists."""

import re
from dataclasses import dataclass
from typing import Annotated, Final

import orjson
from pydantic import Field, PlainValidator, ValidationInfo
from typing_extensions import TypedDict

from stream_app.contracts.fields import (
    StoreId,
    closed,
    parse_own_record,
    parse_record,
    shown,
    validate,
)
from stream_app.errors import RecordError

MAX_TIMEZONE_LENGTH: Final = 100
"""The most characters that the name of a timezone may have."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def timezone_name_in(text: object, what: str) -> str:
    """Return the name of a timezone, known or not, without spaces around it.

    Raises:
        RecordError: the name is no text, is too long, or cannot be shown.
    """
    if not isinstance(text, str):
        raise RecordError(f"{what} is not a text but {type(text).__name__}")
    if len(text) > MAX_TIMEZONE_LENGTH:
        raise RecordError(f"{what} is {len(text)} characters long")
    name = text.strip()
    if _CONTROL.search(name):
        # the name is shown in places where a line break would begin something else
        raise RecordError(f"{what} has control characters: {shown(name)}")
    return name


def _timezone_name(text: object, info: ValidationInfo) -> str:
    return timezone_name_in(text, info.field_name or "timezone_str")


TimezoneNameText = Annotated[
    str,
    Field(
        max_length=MAX_TIMEZONE_LENGTH,
        pattern=r"^\s*[^\x00-\x1f\x7f-\x9f]*\s*$",
        examples=["America/Chicago"],
    ),
]
TimezoneName = Annotated[
    str, PlainValidator(_timezone_name, json_schema_input_type=TimezoneNameText)
]


@closed
@dataclass(frozen=True, slots=True)
class TimezoneRecord:
    """The timezone of a store; if the name is unknown, the default timezone applies."""

    store_id: StoreId
    timezone: Annotated[
        str,
        Field(alias="timezone_str"),
        PlainValidator(
            lambda text: timezone_name_in(text, "timezone_str"),
            json_schema_input_type=TimezoneNameText,
        ),
    ]
    """The IANA name of the timezone."""


def encode_timezone(store_id: str, timezone: str) -> bytes:
    """Write a `store-timezones` record."""
    return orjson.dumps({"store_id": store_id, "timezone_str": timezone})


def decode_timezone(value: bytes | None) -> TimezoneRecord:
    """Read a `store-timezones` record.

    Raises:
        RecordError: the record cannot be used.
    """
    return parse_record(TimezoneRecord, value)


@closed
class TimezoneBody(TypedDict):
    """The timezone of a store."""

    timezone_str: TimezoneName


@closed
class TimezoneBodyShort(TypedDict):
    """The timezone of a store, with the short name of the field."""

    timezone: TimezoneName


def parse_timezone_body(content: object) -> str:
    """Return the timezone's name of `PUT /stores/{store_id}/timezone`, known or not.

    Args:
        content: the body, parsed.

    Raises:
        RecordError: it cannot be used.
    """
    if not isinstance(content, dict) or not content.keys() <= {"timezone_str", "timezone"}:
        return validate(TimezoneBody, content)["timezone_str"]
    if len(content) != 1:
        raise RecordError("one of timezone_str and timezone is needed")
    if "timezone" in content:
        return validate(TimezoneBodyShort, content)["timezone"]
    return validate(TimezoneBody, content)["timezone_str"]


@closed
@dataclass(frozen=True, slots=True)
class StoreRecord:
    """A store that exists, because a poll, business hours or a timezone names it."""

    store_id: StoreId


def encode_store(store: StoreRecord) -> bytes:
    """Write a `stores` record."""
    return orjson.dumps({"store_id": store.store_id})


def decode_store(value: bytes | None) -> StoreRecord:
    """Read a `stores` record.

    Raises:
        RecordError: it cannot be used.
    """
    return parse_own_record(StoreRecord, value)
