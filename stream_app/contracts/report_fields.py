"""The types of a report's values, which are checked where a result is read.

Headers, CSV, Parquet and pages are made of these values. One of a wrong type, or a text with a line
break in it, would be an answer that ends in the middle, or none at all. A field that is missing is
no error here, since earlier versions wrote fewer, and an unknown column may have any value.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Required

from pydantic import AfterValidator, FailFast, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from stream_app.contracts.business_hours import MAX_HOURS_ROWS
from stream_app.domain.report_spec import unknown_columns_of
from stream_app.domain.timestamps import format_instant, parse_instant
from stream_app.durations import parse_duration
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_COLUMNS: Final = 64
"""Most values of one row."""


_UUID: Final = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


def _as_written(written: Callable[[str], str]) -> Callable[[str], str]:
    """Accept a text only in the form in which this product writes it."""

    @lru_cache(maxsize=4096)
    def check(text: str) -> str:
        try:
            expected = written(text)
        except RecordError as error:
            raise ValueError(str(error)) from None
        if text != expected:
            raise ValueError(f"not as it is written: {expected}")
        return text

    return check


# a column that is both strict and of a tuple would refuse a list, so each scalar is strict
_Text = Annotated[str, Field(strict=True, max_length=1_000, pattern=r"^\P{Cc}*$")]
_Name = Annotated[str, Field(strict=True, min_length=1, max_length=100, pattern=r"^\P{Cc}*$")]
_Store = Annotated[str, Field(strict=True, pattern=_UUID)]
_Instant = Annotated[
    str,
    Field(strict=True),
    AfterValidator(_as_written(lambda text: format_instant(parse_instant(text)))),
]
_Date = Annotated[
    str,
    Field(strict=True),
    AfterValidator(_as_written(lambda text: date.fromisoformat(text).isoformat())),
]
_Duration = Annotated[
    str,
    Field(strict=True, max_length=100),
    AfterValidator(_as_written(lambda text: text if parse_duration(text) >= 0 else "")),
]
# a whole number that every reader of JSON keeps as it is
_Count = Annotated[int, Field(strict=True, ge=0, le=1 << 53)]
_Offset = Annotated[int, Field(strict=True, ge=0, lt=1 << 63)]
_Number = Annotated[float, Field(strict=True, ge=0, le=1 << 53, allow_inf_nan=False)]
_Flag = Annotated[bool, Field(strict=True)]
_Status = Literal["active", "inactive"]
_Any = _Text | Annotated[float, Field(strict=True, allow_inf_nan=False)] | _Flag | None
"""The type of a column of a later version."""

_Hours = Annotated[
    list[tuple[Annotated[int, Field(strict=True, ge=0, le=6)], _Text, _Text]],
    Field(max_length=MAX_HOURS_ROWS),
]

_MEASURED: Final[dict[str, Any]] = {
    "uptime_last_hour": _Count,
    "downtime_last_hour": _Count,
    "uptime_minutes": _Count,
    "downtime_minutes": _Count,
    "uptime_last_day": _Number,
    "uptime_last_week": _Number,
    "downtime_last_day": _Number,
    "downtime_last_week": _Number,
    "uptime_last_hour_seconds": _Number,
    "uptime_last_day_seconds": _Number,
    "uptime_last_week_seconds": _Number,
    "downtime_last_hour_seconds": _Number,
    "downtime_last_day_seconds": _Number,
    "downtime_last_week_seconds": _Number,
    "uptime_seconds": _Number,
    "downtime_seconds": _Number,
}
"""The types of amounts of uptime and of downtime, by their names."""

_FIGURES: Final[dict[str, Any]] = {
    "store_id": _Store,
    "start": _Instant,
    "end": _Instant,
    "date": _Date,
    **_MEASURED,
    **dict(zip(unknown_columns_of(_MEASURED), _MEASURED.values(), strict=True)),
    "timezone": _Text,
    "hours_version": _Text,
    "unknown_timezone": _Text | None,
    "polls_counted": _Count,
    "coverage": _Number | None,
}
"""The types of the values of a row, by their names."""

KNOWN_FIELDS: Final = frozenset(_FIGURES)
"""The names of a row's values whose type is known."""

_PROVENANCE: Final[dict[str, Any]] = {
    "lookback": _Duration,
    "default_status": _Status,
    "stale_after": _Duration,
    "tzdata_version": _Text,
}

_DETAIL: Final[dict[str, Any]] = _FIGURES | {
    "start": Required[_Instant],
    "end": Required[_Instant],
    "name": _Text,
    "open": _Flag,
    "status": Literal["active", "inactive", "unknown"],
    "counted_as": _Status,
    "whole_day": _Flag,
    "ongoing": _Flag,
    "began_earlier": _Flag,
    "cause": Literal["reported", "silence"],
}


class _Poll(TypedDict):
    status: _Status
    timestamp_utc: _Instant


_Row = TypedDict("_Row", _FIGURES, total=False)  # type: ignore[misc]  # names and types of one table
_Provenance = TypedDict("_Provenance", _PROVENANCE, total=False)  # type: ignore[misc]  # as above
_Detail = TypedDict("_Detail", _DETAIL, total=False)  # type: ignore[misc]  # as above
_Report = TypedDict(  # type: ignore[misc]  # as above
    "_Report",
    _FIGURES
    | _PROVENANCE
    | {
        "reference_time": Required[_Instant],
        "business_hours": _Hours | None,
        "input_offsets": dict[_Name, dict[_Name, _Offset]],
        "days": list[_Row],
        "windows": list[_Detail],
        "intervals": list[_Detail],
        "local_days": list[_Detail],
        "incidents": list[_Detail],
        "last_poll": _Poll | None,
    },
    total=False,
)


class _Lost(TypedDict):
    topic: _Name
    partition: _Offset
    first_offset: _Offset
    end_offset: _Offset


_REPORT: Final[TypeAdapter[Any]] = TypeAdapter(_Report)
_PROVENANCE_OF_CHUNK: Final[TypeAdapter[Any]] = TypeAdapter(_Provenance)
_OFFSETS: Final[TypeAdapter[Any]] = TypeAdapter(dict[_Name, _Offset])
_LOST_RANGES: Final[TypeAdapter[Any]] = TypeAdapter(list[_Lost])
_NAMES: Final[TypeAdapter[Any]] = TypeAdapter(Annotated[list[_Name], Field(max_length=MAX_COLUMNS)])


def check_report(report: dict[str, Any], columns: tuple[str, ...]) -> None:
    """Check the `report` of a complete event.

    Args:
        report: the fields.
        columns: the columns of its CSV, which `check_names` has accepted.

    Raises:
        RecordError: a value or a name has another type.
    """
    _check(_REPORT, report, "the report")
    unknown = [column for column in columns if column not in _FIGURES]
    if unknown:
        rows = report.get("days", [report])
        values = [{name: row[name] for name in unknown if name in row} for row in [report, *rows]]
        _check(TypeAdapter(list[dict[str, _Any]]), values, "the report")


def check_rows(rows: object, fields: tuple[str, ...]) -> None:
    """Check the rows of a chunk.

    Args:
        rows: lists of values.
        fields: the names of a row's values.

    Raises:
        RecordError: a value or a name has another type.
    """
    check_names(fields)
    _check(_rows_of(fields), rows, "rows")


def check_provenance(provenance: object) -> None:
    """Check the provenance in a chunk.

    Raises:
        RecordError: a value has another type.
    """
    _check(_PROVENANCE_OF_CHUNK, provenance, "basis")


def check_offsets(offsets: object) -> None:
    """Check offsets by topic.

    Raises:
        RecordError: one has another type.
    """
    _check(_OFFSETS, offsets, "input_offsets")


def check_lost_input(lost: object) -> None:
    """Check ranges of lost source records.

    Raises:
        RecordError: one has another type.
    """
    _check(_LOST_RANGES, lost, "lost_input")


def check_names(names: tuple[str, ...]) -> None:
    """Check the names of a row's values.

    Raises:
        RecordError: the first one is not `store_id`, or one occurs twice or is no name.
    """
    _check(_NAMES, list(names), "a name of a column")
    if not names or names[0] != "store_id" or len(set(names)) < len(names):
        raise RecordError("the columns do not begin with store_id, or one is there twice")


@lru_cache(maxsize=32)
def _rows_of(fields: tuple[str, ...]) -> TypeAdapter[Any]:
    types = tuple(_FIGURES.get(name, _Any) for name in fields)
    rows = list[tuple[types]]  # type: ignore[valid-type]  # as many as there are fields
    return TypeAdapter(Annotated[rows, FailFast()])


def _check(adapter: TypeAdapter[Any], value: object, what: str) -> None:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"][:3])
        reason = f"{what}: {place}: {first['msg']}" if place else f"{what}: {first['msg']}"
        raise RecordError(" ".join(reason.split())[:190]) from None
