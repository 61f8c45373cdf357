"""The records of `store-business-hours`: all business hours of a store.

The digest of a store's hours is taken from their bytes, so every reader must come to the same rows.
That is why there is one type for them, and nothing else takes spaces out of a row or checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import orjson

from stream_app.contracts.fields import field_of, known_fields_only, object_of, parse_uuid, shown
from stream_app.domain.business_hours import Row, WeeklyHours, whole_day
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MAX_HOURS_ROWS: Final = 1_000
"""Rows of business hours that one store may have."""

_CACHED_STORES: Final = 16_384
"""Sets of rows whose checked form is cached: most stores share theirs with others."""


@dataclass(frozen=True, slots=True)
class BusinessHours:
    """The business hours of a store: its rows, checked and without spaces around the times.

    Attributes:
        rows: the rows in the order in which they were given; none: the store is always open.

    Raises:
        RecordError: a row has a wrong day or time; hours apply as a whole or not at all.
    """

    rows: tuple[Row, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", _normalized(tuple(self.rows)))

    @property
    def weekly(self) -> WeeklyHours:
        """The week that the rows open."""
        return _weekly(self.rows)

    @property
    def version(self) -> str:
        """The digest that reports name as `hours_version`."""
        return hours_version(self.encode())

    def encode(self) -> bytes:
        """The rows as the facts table and the API's view store them."""
        return encode_rows(self.rows)


@lru_cache(maxsize=_CACHED_STORES)
def _normalized(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    _weekly(rows)
    return tuple((day, start.strip(), end.strip()) for day, start, end in rows)


@lru_cache(maxsize=_CACHED_STORES)
def _weekly(rows: tuple[Row, ...]) -> WeeklyHours:
    return WeeklyHours.from_rows(rows)


def encode_rows(rows: Sequence[Row]) -> bytes:
    """Write rows of business hours as JSON."""
    return orjson.dumps(rows)


def hours_version(rows: bytes | None) -> str:
    """The digest of encoded business hours.

    Args:
        rows: the value of `BusinessHours.encode`; None: a store without hours.
    """
    return blake2b(rows or b"[]", digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True)
class HoursRecord:
    """All business hours of a store."""

    store_id: str
    hours: BusinessHours


def encode_hours(store_id: str, rows: Iterable[Row]) -> bytes:
    """Write a `store-business-hours` record.

    Raises:
        RecordError: a row has a wrong day or time.
    """
    return orjson.dumps({"store_id": store_id, "hours": BusinessHours(tuple(rows)).rows})


def decode_hours(value: bytes | None) -> HoursRecord:
    """Read a `store-business-hours` record.

    Raises:
        RecordError: the record cannot be used; hours apply as a whole or not at all.
    """
    content = object_of(value)
    store_id = parse_uuid(field_of(content, "store_id"))
    known_fields_only(content, "store_id", "hours")
    return HoursRecord(store_id, BusinessHours(parse_rows(field_of(content, "hours"), parse_row)))


def parse_rows(items: object, parse: Callable[[Any], Row]) -> tuple[Row, ...]:
    """The rows of a JSON list.

    Args:
        items: the list.
        parse: reads one item; its errors get the number of the row.

    Raises:
        RecordError: it is no list, or too long, or a row cannot be used.
    """
    if not isinstance(items, list):
        raise RecordError(f"hours is not a list but {type(items).__name__}")
    if len(items) > MAX_HOURS_ROWS:
        raise RecordError(f"{len(items)} rows of hours; {MAX_HOURS_ROWS} are the most")
    rows: list[Row] = []
    for index, item in enumerate(items):
        try:
            rows.append(parse(item))
        except RecordError as error:
            raise RecordError(f"row {index}: {error}") from None
    return tuple(rows)


def parse_row(item: object) -> Row:
    """The row `[day, start, end]`.

    Raises:
        RecordError: the item has another form.
    """
    match item:
        case [number, str() as start, str() as end] if (day := whole_day(number)) is not None:
            return day, start, end
    raise RecordError(f"not [day, start, end]: {shown(item)}")
