"""The types of values that records and HTTP bodies share, and the functions that parse them.

Readers are lenient in what semantics allow (case, spaces, UTC offsets) and reject the rest with a
reason; writers have one form. No function here does IO or reads the clock.

Records that any client may write (polls, hours, timezones, requests) have no other fields than
their own, as the published schemas say: a misspelt field would pass for one that is left out.
Records that only workers and the API write may have more, so that two versions can run side by
side.

Each annotated type both describes a field in the published schemas and parses it; its validator is
a function of this module. This module has no `from __future__ import annotations`: pydantic reads
the annotations.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeVar

import orjson
from pydantic import (
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    with_config,
)

from stream_app.contracts.json_text import parse_json, parse_own_json
from stream_app.domain.identifiers import canonical_prefix, canonical_uuid
from stream_app.domain.timestamps import LATEST, check_instant, parse_instant
from stream_app.errors import RecordError

_STATUS: Final = {"active": True, "inactive": False}

_SHOWN: Final = 60

_MAX_INTEGER: Final = 2**63 - 1
"""The largest number that fits in a signed integer of 64 bits."""


def shown(value: object) -> str:
    """Return the beginning of a value from outside on one line, to quote it in a reason."""
    if isinstance(value, str):
        return repr(value[:_SHOWN])
    try:
        return orjson.dumps(value)[:_SHOWN].decode(errors="replace")
    except orjson.JSONEncodeError:
        # orjson reads deeper nesting than it writes
        return f"a {type(value).__name__}, deeply nested"


def listed(names: Iterable[str]) -> str:
    """Join one or more names to `a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def parse_uuid(text: object, what: str = "store_id") -> str:
    """Return the canonical lower-case form of a UUID in a text.

    Raises:
        RecordError: the text is not a UUID.
    """
    uuid = canonical_uuid(text) if isinstance(text, str) else None
    if uuid is not None:
        return uuid
    raise RecordError(f"{what} is not a UUID: {shown(text)}")


def parse_uuid_prefix(text: str, what: str) -> str:
    """Return the canonical form of the beginning of a UUID: lower case, no dash at its end.

    Raises:
        RecordError: no UUID begins so.
    """
    prefix = canonical_prefix(text)
    if prefix is None:
        raise RecordError(f"{what} is not the beginning of a UUID: {shown(text)}")
    return prefix


def parse_status(text: object) -> bool:
    """Return True for `active` and False for `inactive`, in upper or lower case.

    Raises:
        RecordError: the text is neither of the two.
    """
    if isinstance(text, str):
        active = _STATUS.get(text)
        if active is None:
            active = _STATUS.get(text.strip().lower())
        if active is not None:
            return active
    raise RecordError(f"status is neither active nor inactive: {shown(text)}")


def status_name(active: bool) -> str:
    """Return `active` or `inactive`."""
    return "active" if active else "inactive"


def object_of(value: bytes | None) -> dict[str, Any]:
    """Return the JSON object in the value of a record that any client may write.

    Raises:
        RecordError: there is no value, or it is no JSON object, or an object has one key twice.
    """
    return _object(value, parse_json)


def own_object_of(value: bytes | None) -> dict[str, Any]:
    """Return the JSON object in the value of a record that only workers and the API write.

    Raises:
        RecordError: there is no value, or it is no JSON object.
    """
    return _object(value, parse_own_json)


def _object(value: bytes | None, parse: Callable[[bytes], Any]) -> dict[str, Any]:
    if value is None:
        raise RecordError("the record has no value")
    content = parse(value)
    if not isinstance(content, dict):
        raise RecordError(f"not a JSON object but {type(content).__name__}")
    return content


def reject_unknown_fields(content: dict[str, Any], *known: str) -> None:
    """Reject an object with other fields than these, since a misspelt one must not be ignored.

    Raises:
        RecordError: the object has another field.
    """
    if not content.keys() <= set(known):
        unknown = ", ".join(sorted(content.keys() - set(known)))
        raise RecordError(f"unknown fields: {shown(unknown)}; known are {listed(known)}")


def field_of(content: dict[str, Any], name: str) -> Any:
    """Return a field that the object must have.

    Raises:
        RecordError: the field is missing.
    """
    try:
        return content[name]
    except KeyError:
        raise RecordError(f"{name} is missing") from None


def parse_count(count: object, what: str, least: int) -> int:
    """Return a whole number that is at least `least`.

    Raises:
        RecordError: the value is no such number.
    """
    if type(count) is not int or not least <= count <= _MAX_INTEGER:
        raise RecordError(f"{what} is not a number from {least} on: {shown(count)}")
    return count


# -- types of fields

closed: Final = with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))
"""Decorates a model that rejects other fields; the docstrings below its fields describe them."""

EXAMPLE_STORE: Final = "97dd66d5-660c-48eb-8b5a-792c529ec4dd"
"""The id of a store of the sample data, as an example in schemas."""

EXAMPLE_REPORT: Final = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
"""The id of a report, as an example in schemas."""

_UUID: Final[dict[str, Any]] = {"format": "uuid"}


def _report_id(text: object) -> str:
    return parse_uuid(text, "report_id")


Uuid = Annotated[str, Field(json_schema_extra=_UUID)]
StoreId = Annotated[
    str,
    PlainValidator(
        parse_uuid,
        json_schema_input_type=Annotated[
            str,
            Field(json_schema_extra=_UUID, examples=[EXAMPLE_STORE], description="Which store."),
        ],
    ),
]
ReportId = Annotated[
    str,
    PlainValidator(
        _report_id,
        json_schema_input_type=Annotated[
            str,
            Field(json_schema_extra=_UUID, examples=[EXAMPLE_REPORT], description="Which report."),
        ],
    ),
]
Status = Annotated[
    bool, PlainValidator(parse_status, json_schema_input_type=Literal["active", "inactive"])
]
"""A status is `active` or `inactive` in JSON, and True for `active` in Python."""

InstantText = Annotated[
    str,
    Field(
        # the years that `check_instant` takes
        pattern="^(19[7-9][0-9]|20[0-9]{2})-",
        json_schema_extra={"format": "date-time"},
        examples=["2024-03-10T12:00:00Z"],
    ),
]
Instant = Annotated[int, PlainValidator(parse_instant, json_schema_input_type=InstantText)]
"""An instant is ISO 8601 in JSON, and microseconds since 1970 in Python."""


def _microseconds(number: object) -> int:
    if type(number) is not int:
        raise ValueError("not a whole number")
    return check_instant(number)


Microseconds = Annotated[
    int,
    PlainValidator(_microseconds, json_schema_input_type=Annotated[int, Field(ge=0, lt=LATEST)]),
]
"""An instant is microseconds since 1970, in JSON too."""

Count = Annotated[int, Field(ge=0, strict=True)]

# what `parse_iso_duration` reads: years and months have no length
_DAYS: Final = "([0-9]{1,6}W([0-9]{1,6}D)?|[0-9]{1,6}D)"
_SECONDS: Final = "[0-9]{1,9}([.][0-9]{1,6})?S"
_TIME: Final = f"([0-9]{{1,6}}H([0-9]{{1,6}}M)?({_SECONDS})?|[0-9]{{1,6}}M({_SECONDS})?|{_SECONDS})"
DurationText = Annotated[
    str, Field(pattern=f"^P({_DAYS}|{_DAYS}?T{_TIME})$", examples=["P7D", "PT90M"])
]


# -- models

T = TypeVar("T")


def parse_record(model: type[T], value: bytes | None) -> T:
    """Parse the value of a record that any client may write.

    Raises:
        RecordError: there is no value, it is no JSON of the model, or an object has one key twice.
    """
    return validate(model, _object(value, parse_json))


def parse_own_record(model: type[T], value: bytes | None) -> T:
    """Parse the value of a record that only workers and the API write: it may have more fields.

    Raises:
        RecordError: there is no value, or it is no JSON of the model.
    """
    return validate_own(model, own_object_of(value))


def validate_own(model: type[T], content: dict[str, Any], what: str = "") -> T:
    """Return the values of an object that only workers and the API write, parsed by its model.

    Args:
        model: the model; fields that it does not have are ignored.
        content: the object.
        what: the name of such an object in the reason.

    Raises:
        RecordError: the object is not of the model; the reason is one line.
    """
    try:
        return _validator(model)(content, extra="ignore")
    except ValidationError as error:
        raise _record_error(model, error, what) from None


def validate(model: type[T], content: object) -> T:
    """Return the values of parsed JSON, parsed by a model.

    Raises:
        RecordError: the content is not of the model; the reason is one line.
    """
    try:
        return _validator(model)(content)
    except ValidationError as error:
        raise _record_error(model, error) from None


_VALIDATE: Final[dict[Any, Any]] = {}
"""The function that validates each model; it is built at its first use, to keep the start short."""


def _validator(model: type[T]) -> Callable[..., T]:
    # the adapter's own method would cost a fifth of what a poll takes
    validator: Callable[..., T] | None = _VALIDATE.get(model)
    if validator is None:
        validator = _VALIDATE[model] = TypeAdapter(model).validator.validate_python
    return validator


@cache
def _field_names(model: Any) -> tuple[str, ...]:
    """Return the names of a model's fields in JSON, the required ones first."""
    schema = TypeAdapter(model).json_schema()
    return tuple(
        sorted(schema["properties"], key=lambda name: name not in schema.get("required", ()))
    )


def _record_error(model: Any, error: ValidationError, what: str = "") -> RecordError:
    """Return the error that says in one line what is wrong; an unknown field comes first."""
    errors = error.errors(include_url=False)
    unknown = [str(one["loc"][-1]) for one in errors if one["type"] in _UNKNOWN]
    if unknown:
        known = _field_names(model)
        names = ", ".join(sorted(unknown))
        return RecordError(f"unknown fields: {shown(names)}; known are {listed(known)}")
    first = errors[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return RecordError(f"{place} is missing")
    if not place:
        return RecordError(f"not a JSON object but {type(first['input']).__name__}")
    reason = f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}"
    return RecordError(f"not {what}: {reason}" if what else reason)


_UNKNOWN: Final = {"extra_forbidden", "unexpected_keyword_argument"}
"""The kinds of pydantic's errors about fields that a model does not have."""
