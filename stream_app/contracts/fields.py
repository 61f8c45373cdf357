"""The values that records and HTTP bodies share, and how a JSON object's fields are read.

Readers are lenient in what semantics allow (case, spaces, zones) and reject the rest with a reason;
writers have one form. No function here does IO or asks for the time.

Records that any client may write (polls, hours, timezones, requests) have no other fields than
their own, as the published schemas say: a misspelt field would pass for one that is left out.
Records that only workers and the API write may have more, so that two versions can run side by
side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from stream_app.contracts.json_text import parse_json, parse_own_json
from stream_app.domain.identifiers import canonical_prefix, canonical_uuid
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_STATUS: Final = {"active": True, "inactive": False}

_SHOWN: Final = 60

_MOST: Final = 2**63 - 1
"""The largest number that a database takes."""


def shown(value: object) -> str:
    """The beginning of a value from outside, on one line, for a reason."""
    if isinstance(value, str):
        return repr(value[:_SHOWN])
    try:
        return orjson.dumps(value)[:_SHOWN].decode(errors="replace")
    except orjson.JSONEncodeError:
        # orjson reads deeper nesting than it writes
        return f"a {type(value).__name__}, deeply nested"


def listed(names: Iterable[str]) -> str:
    """One or more names as `a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def parse_uuid(text: object, what: str = "store_id") -> str:
    """The canonical lower-case form of a UUID in text.

    Raises:
        RecordError: not a UUID.
    """
    uuid = canonical_uuid(text) if isinstance(text, str) else None
    if uuid is not None:
        return uuid
    raise RecordError(f"{what} is not a UUID: {shown(text)}")


def parse_uuid_prefix(text: str, what: str) -> str:
    """The canonical lower-case form of the beginning of a UUID, without a dash at its end.

    Raises:
        RecordError: no UUID begins so.
    """
    prefix = canonical_prefix(text)
    if prefix is None:
        raise RecordError(f"{what} is not the beginning of a UUID: {shown(text)}")
    return prefix


def parse_status(text: object) -> bool:
    """True for `active`, False for `inactive`, in any case.

    Raises:
        RecordError: neither of the two.
    """
    if isinstance(text, str):
        active = _STATUS.get(text)
        if active is None:
            active = _STATUS.get(text.strip().lower())
        if active is not None:
            return active
    raise RecordError(f"status is neither active nor inactive: {shown(text)}")


def status_name(active: bool) -> str:
    """`active` or `inactive`."""
    return "active" if active else "inactive"


def object_of(value: bytes | None) -> dict[str, Any]:
    """The JSON object in the value of a record that any client may write.

    Raises:
        RecordError: no value, not JSON, not an object, or an object with a key twice.
    """
    return _object(value, parse_json)


def own_object_of(value: bytes | None) -> dict[str, Any]:
    """The JSON object in the value of a record that only workers and the API write.

    Raises:
        RecordError: no value, not JSON, not an object.
    """
    return _object(value, parse_own_json)


def _object(value: bytes | None, parse: Callable[[bytes], Any]) -> dict[str, Any]:
    if value is None:
        raise RecordError("the record has no value")
    content = parse(value)
    if not isinstance(content, dict):
        raise RecordError(f"not a JSON object but {type(content).__name__}")
    return content


def known_fields_only(content: dict[str, Any], *known: str) -> None:
    """Refuse fields that mean nothing here: a misspelt one must not be ignored.

    Raises:
        RecordError: there is one.
    """
    if not content.keys() <= set(known):
        unknown = ", ".join(sorted(content.keys() - set(known)))
        raise RecordError(f"unknown fields: {shown(unknown)}; known are {listed(known)}")


def field_of(content: dict[str, Any], name: str) -> Any:
    """A field that must be there.

    Raises:
        RecordError: it is missing.
    """
    try:
        return content[name]
    except KeyError:
        raise RecordError(f"{name} is missing") from None


def count_of(content: dict[str, Any], name: str, least: int) -> int:
    """A whole number of a record, from `least` on.

    Raises:
        RecordError: it is no such number.
    """
    count = field_of(content, name)
    if type(count) is not int or not least <= count <= _MOST:
        raise RecordError(f"{name} is not a number from {least} on: {shown(count)}")
    return count
