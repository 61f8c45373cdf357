"""The records of `store-business-hours`: all business hours of a store.

The digest of a store's hours is computed from their bytes, so every reader must come to the same
rows. That is why they have one type, and nothing else strips a row or checks it. No `from
__future__ import annotations`: pydantic reads the models.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Any, Final

import orjson
from pydantic import Field, GetCoreSchemaHandler, PlainValidator
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypedDict

from stream_app.contracts.fields import StoreId, closed, parse_record, shown, validate
from stream_app.domain.business_hours import Row, WeeklyHours, whole_day
from stream_app.errors import RecordError

MAX_HOURS_ROWS: Final = 1_000
"""Rows of business hours that one store may have."""

_CACHED_ROWS: Final = 65_536
"""Rows whose checked form is cached: most stores share theirs with others."""

_CACHED_STORES: Final = 16_384
"""Sets of rows whose week is cached."""


Day = Annotated[int, Field(ge=0, le=6)]

_MINUTES: Final = "[0-5][0-9](:[0-5][0-9]([.][0-9]{1,20})?)?"
_CLOCK: Final = f"([01]?[0-9]|2[0-3]):{_MINUTES}"
OpeningTime = Annotated[str, Field(pattern=f"^{_CLOCK}$", examples=["09:00"])]
ClosingTime = Annotated[
    str, Field(pattern=f"^({_CLOCK}|24:00(:00([.]0{{1,20}})?)?)$", examples=["17:00:00"])
]
HoursRow = tuple[Day, OpeningTime, ClosingTime]
"""`[day, start, end]`: 0 is Monday, local times of day."""


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
        object.__setattr__(self, "rows", tuple(map(_checked, self.rows)))

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Make it the type of a model's field, which is a list of rows on the wire."""
        rows = Annotated[list[HoursRow], Field(max_length=MAX_HOURS_ROWS)]
        return core_schema.no_info_plain_validator_function(
            _hours_of_record, json_schema_input_schema=handler.generate_schema(rows)
        )

    @property
    def weekly(self) -> WeeklyHours:
        """Return the weekly hours that the rows give."""
        return _weekly(self.rows)

    @property
    def version(self) -> str:
        """Return the digest that reports name as `hours_version`."""
        return hours_version(self.encode())

    def encode(self) -> bytes:
        """Write the rows; `decode_rows` reads them."""
        return encode_rows(self.rows)


@lru_cache(maxsize=_CACHED_ROWS)
def _checked(row: Row) -> Row:
    # rows that are valid one by one are valid together
    WeeklyHours.from_rows((row,))
    day, start, end = row
    return day, start.strip(), end.strip()


@lru_cache(maxsize=_CACHED_STORES)
def _weekly(rows: tuple[Row, ...]) -> WeeklyHours:
    return WeeklyHours.from_rows(rows)


def encode_rows(rows: Sequence[Row]) -> bytes:
    """Write rows of business hours as the facts table and the API's view store them."""
    return orjson.dumps(rows)


def decode_rows(value: bytes) -> list[Row]:
    """Read what `encode_rows` wrote.

    Raises:
        TypeError, ValueError: the bytes are something else.
    """
    rows = [(day, start, end) for day, start, end in orjson.loads(value)]
    for day, start, end in rows:
        if not (isinstance(day, int) and isinstance(start, str) and isinstance(end, str)):
            raise TypeError("a row is not a day and two times")
    return rows


def hours_version(rows: bytes | None) -> str:
    """Return the digest of encoded business hours.

    Args:
        rows: the value of `BusinessHours.encode`; None for a store without hours.
    """
    return blake2b(rows or b"[]", digest_size=6).hexdigest()


def parse_rows(items: object, parse: Callable[[Any], Row]) -> tuple[Row, ...]:
    """Return the rows of a JSON list.

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
    """Return the row `[day, start, end]`.

    Raises:
        RecordError: the item has another form.
    """
    match item:
        case [number, str() as start, str() as end] if (day := whole_day(number)) is not None:
            return day, start, end
    raise RecordError(f"not [day, start, end]: {shown(item)}")


def _hours_of_record(items: object) -> BusinessHours:
    return BusinessHours(parse_rows(items, parse_row))


@closed
@dataclass(frozen=True, slots=True)
class HoursRecord:
    """All business hours of a store; no row at all: open 24/7."""

    store_id: StoreId
    hours: BusinessHours
    """`[day, start, end]`: 0 is Monday, local times of day."""


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
    return parse_record(HoursRecord, value)


# -- HTTP


@closed
class HoursOfDay(TypedDict):
    """A row of business hours by the column names of the files; `day` may stand for `dayOfWeek`."""

    dayOfWeek: Day
    start_time_local: OpeningTime
    end_time_local: ClosingTime


@closed
class HoursOfDayShort(TypedDict):
    """A row of business hours with the short column name `day`."""

    day: Day
    start_time_local: OpeningTime
    end_time_local: ClosingTime


def _hours_of_body(items: object) -> BusinessHours:
    return BusinessHours(parse_rows(items, _row_of_body))


def _row_of_body(item: Any) -> Row:
    # checked here, so that the reason has the number of the row
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


_ROW_FIELDS: Final = {"dayOfWeek", "day", "start_time_local", "end_time_local"}
"""The fields of a row that is an object."""


@closed
class HoursBody(TypedDict):
    """All business hours of a store."""

    hours: Annotated[
        BusinessHours,
        PlainValidator(
            _hours_of_body,
            json_schema_input_type=Annotated[
                list[HoursRow | HoursOfDay | HoursOfDayShort],
                Field(max_length=MAX_HOURS_ROWS, examples=[[[0, "09:00", "17:00"]]]),
            ],
        ),
    ]
    """`[day, start, end]` or objects: 0 is Monday, local times of day; no row at all: open 24/7."""


def parse_hours_body(content: object) -> BusinessHours:
    """Return the business hours of `PUT /stores/{store_id}/business_hours`.

    Args:
        content: the body, parsed: rows `[day, start, end]`, or objects with the CSV's column names.

    Raises:
        RecordError: a row cannot be used; hours apply as a whole or not at all.
    """
    return validate(HoursBody, content)["hours"]
