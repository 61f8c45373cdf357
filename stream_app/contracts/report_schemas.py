"""The models of reports: the figures in each form, their provenance, and the details of a store.

Workers write documents of these models, `report_validation` reads results by them, and the
published schemas are made from them. The values of a document stay as they are in JSON from the
worker to the answer of the API, so an instant or a status is a text here. This module has no `from
__future__ import annotations`: pydantic reads the annotations.
"""

import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from stream_app.contracts.business_hours import MAX_HOURS_ROWS, HoursRow
from stream_app.contracts.fields import EXAMPLE_STORE, Instant, InstantText, ReportId, closed
from stream_app.domain.timestamps import format_instant, parse_instant
from stream_app.durations import parse_duration
from stream_app.errors import RecordError

MAX_COLUMNS: Final = 64
"""The largest number of values that a row of a report may have."""

_MAX_INTEGER: Final = 1 << 53
"""The largest whole number that every reader of JSON keeps exactly."""

_ONE_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""Texts without control characters, so that none can break a header, a CSV row or a terminal."""


def _as_written(write: Callable[[str], str]) -> AfterValidator:
    """Return the validator that accepts a text only in the form in which this product writes it."""

    @lru_cache(maxsize=4096)
    def check(text: str) -> str:
        try:
            expected = write(text)
        except RecordError as error:
            raise ValueError(str(error)) from None
        if text != expected:
            raise ValueError(f"not as it is written: {expected}")
        return text

    return AfterValidator(check)


def _one_line(text: str) -> str:
    if not re.fullmatch(_ONE_LINE, text):
        raise ValueError("control characters")
    return text


def _whole_duration(text: str) -> str:
    return text if parse_duration(text) >= 0 else ""


Text = Annotated[str, Field(strict=True, max_length=1_000, pattern=_ONE_LINE)]
Name = Annotated[str, Field(strict=True, min_length=1, max_length=100, pattern=_ONE_LINE)]

WrittenStoreId = Annotated[
    str,
    Field(
        strict=True,
        pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        json_schema_extra={"format": "uuid"},
        examples=[EXAMPLE_STORE],
        description="Which store.",
    ),
]
WrittenInstant = Annotated[
    InstantText,
    Field(strict=True),
    _as_written(lambda text: format_instant(parse_instant(text))),
]
WrittenDate = Annotated[
    str,
    Field(strict=True, json_schema_extra={"format": "date"}, examples=["2024-03-10"]),
    _as_written(lambda text: date.fromisoformat(text).isoformat()),
]
WrittenDuration = Annotated[str, Field(strict=True, max_length=100), _as_written(_whole_duration)]
WrittenStatus = Literal["active", "inactive"]

Flag = Annotated[bool, Field(strict=True)]
Number = Annotated[int, Field(strict=True, ge=0, le=_MAX_INTEGER)]
Offset = Annotated[int, Field(strict=True, ge=0, lt=1 << 63)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=_MAX_INTEGER, allow_inf_nan=False)]
Minutes = Annotated[int, Field(strict=True, ge=0, le=60)]
HoursOfDay = Annotated[float, Field(strict=True, ge=0, le=24)]
HoursOfWeek = Annotated[float, Field(strict=True, ge=0, le=168)]
SecondsOfHour = Annotated[float, Field(strict=True, ge=0, le=3600)]
SecondsOfDay = Annotated[float, Field(strict=True, ge=0, le=86_400)]
SecondsOfWeek = Annotated[float, Field(strict=True, ge=0, le=604_800)]

Coverage = Annotated[float, Field(strict=True, ge=0, le=1)] | None
"""The share of business hours that polls cover; null if there are no business hours."""

HoursRows = Annotated[list[HoursRow], Field(max_length=MAX_HOURS_ROWS)]
ColumnNames = Annotated[list[Name], Field(max_length=MAX_COLUMNS)]

# a pattern would publish a key as `patternProperties`, which few generators of clients read
_Key = Annotated[str, Field(strict=True, min_length=1, max_length=100), AfterValidator(_one_line)]

PartitionOffsets = dict[_Key, Offset]
"""The applied offsets of one partition that the figures include, by source topic."""

InputOffsets = dict[_Key, dict[_Key, Offset]]
"""The applied offsets that the figures include, by source topic and partition."""


class UnknownOfWindows(TypedDict, total=False):
    """The amount of each figure that no poll covers; missing in records of earlier versions."""

    unknown_uptime_last_hour: Minutes
    """Minutes up in the last hour that no poll covers."""
    unknown_uptime_last_day: HoursOfDay
    """Hours up in the last 24 hours that no poll covers."""
    unknown_uptime_last_week: HoursOfWeek
    """Hours up in the last 7 days that no poll covers."""
    unknown_downtime_last_hour: Minutes
    """Minutes down in the last hour that no poll covers."""
    unknown_downtime_last_day: HoursOfDay
    """Hours down in the last 24 hours that no poll covers."""
    unknown_downtime_last_week: HoursOfWeek
    """Hours down in the last 7 days that no poll covers."""


class WindowFigures(UnknownOfWindows):
    """The figures of the last hour in minutes, and of the last day and week in hours."""

    uptime_last_hour: Minutes
    """Minutes up in the last hour."""
    uptime_last_day: HoursOfDay
    """Hours up in the last 24 hours, to two decimals."""
    uptime_last_week: HoursOfWeek
    """Hours up in the last 7 days, to two decimals."""
    downtime_last_hour: Minutes
    """Minutes down in the last hour."""
    downtime_last_day: HoursOfDay
    """Hours down in the last 24 hours, to two decimals."""
    downtime_last_week: HoursOfWeek
    """Hours down in the last 7 days, to two decimals."""


class ExactUnknownOfWindows(TypedDict, total=False):
    """The amount of each figure that no poll covers, in exact seconds."""

    unknown_uptime_last_hour_seconds: SecondsOfHour
    """Seconds up in the last hour that no poll covers."""
    unknown_uptime_last_day_seconds: SecondsOfDay
    """Seconds up in the last 24 hours that no poll covers."""
    unknown_uptime_last_week_seconds: SecondsOfWeek
    """Seconds up in the last 7 days that no poll covers."""
    unknown_downtime_last_hour_seconds: SecondsOfHour
    """Seconds down in the last hour that no poll covers."""
    unknown_downtime_last_day_seconds: SecondsOfDay
    """Seconds down in the last 24 hours that no poll covers."""
    unknown_downtime_last_week_seconds: SecondsOfWeek
    """Seconds down in the last 7 days that no poll covers."""


class ExactWindowFigures(ExactUnknownOfWindows):
    """The figures of the last hour, day and week in exact seconds."""

    uptime_last_hour_seconds: SecondsOfHour
    """Seconds up in the last hour."""
    uptime_last_day_seconds: SecondsOfDay
    """Seconds up in the last 24 hours."""
    uptime_last_week_seconds: SecondsOfWeek
    """Seconds up in the last 7 days."""
    downtime_last_hour_seconds: SecondsOfHour
    """Seconds down in the last hour."""
    downtime_last_day_seconds: SecondsOfDay
    """Seconds down in the last 24 hours."""
    downtime_last_week_seconds: SecondsOfWeek
    """Seconds down in the last 7 days."""


class UnknownMinutes(TypedDict, total=False):
    """The minutes up and down that no poll covers; missing in records of earlier versions."""

    unknown_uptime_minutes: Number
    """Minutes that count as up and that no poll covers."""
    unknown_downtime_minutes: Number
    """Minutes that count as down and that no poll covers."""


class SpanFigures(UnknownMinutes):
    """The figures of a time range, in minutes."""

    start: WrittenInstant
    """The time at which it begins."""
    end: WrittenInstant
    """The time at which it ends, exclusive."""
    uptime_minutes: Number
    """Open minutes that count as up."""
    downtime_minutes: Number
    """Open minutes that count as down."""


class UnknownSeconds(TypedDict, total=False):
    """The exact seconds up and down that no poll covers."""

    unknown_uptime_seconds: Seconds
    """Seconds that count as up and that no poll covers."""
    unknown_downtime_seconds: Seconds
    """Seconds that count as down and that no poll covers."""


class ExactSpanFigures(UnknownSeconds):
    """The figures of a time range, in exact seconds."""

    start: WrittenInstant
    """The time at which it begins."""
    end: WrittenInstant
    """The time at which it ends, exclusive."""
    uptime_seconds: Seconds
    """Open seconds that count as up."""
    downtime_seconds: Seconds
    """Open seconds that count as down."""


class _OfDay(TypedDict):
    date: WrittenDate
    """The date in the store's own calendar."""


class _Covered(TypedDict):
    polls_counted: Number
    """The number of polls in the time range; for a whole range, those of its lookback too."""
    coverage: Coverage
    """The share of business hours that polls cover; null if there are no business hours."""


@closed
class DayFigures(SpanFigures, _OfDay, _Covered):
    """The figures of a local day, as far as it lies in the time range, in minutes."""


@closed
class ExactDayFigures(ExactSpanFigures, _OfDay, _Covered):
    """The figures of a local day, as far as it lies in the time range, in seconds."""


@closed
class SettingsUsed(TypedDict):
    """The settings that the figures of all stores were computed with."""

    lookback: WrittenDuration
    """The time before a time range in which a poll still counts for its beginning."""
    default_status: WrittenStatus
    """The status that counts while no poll gives one."""
    stale_after: WrittenDuration
    """The time after a poll that the poll covers."""
    tzdata_version: Text
    """The version of the timezone data."""


class _OfStore(TypedDict):
    store_id: WrittenStoreId
    timezone: Text
    """The timezone of the store's business hours."""
    hours_version: Text
    """The digest of the store's business hours."""
    unknown_timezone: NotRequired[Text | None]
    """The unknown timezone name that the store was given; the default timezone applies."""


@closed
class Window(UnknownMinutes):
    """One of the three windows, all in minutes."""

    name: Literal["last_hour", "last_day", "last_week"]
    """The name of the window."""
    start: WrittenInstant
    """The time at which it begins."""
    end: WrittenInstant
    """The time at which it ends, exclusive."""
    uptime_minutes: Number
    """Open minutes that count as up."""
    downtime_minutes: Number
    """Open minutes that count as down."""
    coverage: Coverage
    """The share of business hours that polls cover; null if there are no business hours."""


@closed
class Interval(TypedDict):
    """A segment of the timeline: the longest time in which no field changes."""

    start: WrittenInstant
    """The time at which it begins."""
    end: WrittenInstant
    """The time at which it ends, exclusive."""
    open: Flag
    """True if the segment lies in business hours."""
    status: Literal["active", "inactive", "unknown"]
    """The status according to the polls."""
    counted_as: WrittenStatus
    """The status that the figures count."""


@closed
class LocalDay(SpanFigures):
    """A day of the store's own calendar, as far as it lies in the time range."""

    date: WrittenDate
    """The date in the store's own calendar."""
    coverage: Coverage
    """The share of business hours that polls cover; null if there are no business hours."""
    whole_day: NotRequired[Flag]
    """False if the day begins before the time range, or ends after it."""


@closed
class Incident(TypedDict):
    """One unbroken time of a store being down that touches its business hours."""

    start: WrittenInstant
    """The time at which it begins."""
    end: WrittenInstant
    """The time at which it ends, exclusive."""
    ongoing: Flag
    """True if the incident reaches the end of the time range and no poll has ended it."""
    began_earlier: Flag
    """True if the incident reaches the start of the time range."""
    downtime_seconds: Seconds
    """The seconds of business hours in the incident."""
    unknown_downtime_seconds: NotRequired[Seconds]
    """The seconds of `downtime_seconds` that no poll covers."""
    cause: Literal["reported", "silence"]
    """`reported` if a poll was inactive; `silence` if only the default status was."""


@closed
class LostInput(TypedDict):
    """Source records that the log deleted before any worker had applied them."""

    topic: Name
    """The source topic."""
    partition: Offset
    """The partition of the topic."""
    first_offset: Offset
    """The offset of the first lost record."""
    end_offset: Offset
    """The offset after the last lost record."""


@closed
class NewestPoll(TypedDict):
    """The newest poll of a store."""

    status: WrittenStatus
    """The status that the store reported."""
    timestamp_utc: WrittenInstant
    """The time of the poll."""


class _Detailed(TypedDict):
    last_poll: NotRequired[NewestPoll | None]
    """The newest poll at or before the end, null if there is none; only if it was requested."""
    windows: NotRequired[list[Window]]
    """The three windows; only if they were requested."""
    intervals: NotRequired[list[Interval]]
    """The timeline; only if it was requested."""
    local_days: NotRequired[list[LocalDay]]
    """The figures of each local day; only if they were requested."""
    incidents: NotRequired[list[Incident]]
    """The incidents; only if they were requested."""


class _Report(_OfStore, _Covered, SettingsUsed, _Detailed):
    reference_time: WrittenInstant
    """The reference time of the figures."""
    business_hours: HoursRows | None
    """The business hours of the store; null if it is open 24/7."""
    input_offsets: InputOffsets
    """The applied offsets that the figures include, by source topic and partition."""
    lost_input: NotRequired[list[LostInput]]
    """The lost records of the store's partition, if there are any: the figures may lack them."""
    columns: ColumnNames
    """The columns of the CSV, in their order."""


@closed
class WindowReport(_Report, WindowFigures):
    """The figures of a store's last hour (minutes), day and week (hours)."""


@closed
class ExactWindowReport(_Report, ExactWindowFigures):
    """The figures of a store's last hour, day and week in seconds."""


@closed
class SpanReport(_Report, SpanFigures):
    """The figures of a store in a time range, in minutes."""


@closed
class ExactSpanReport(_Report, ExactSpanFigures):
    """The figures of a store in a time range, in seconds."""


@closed
class DailyReport(_Report):
    """The figures of a store in a time range, day by day."""

    days: list[DayFigures] | list[ExactDayFigures]
    """The local days, the earliest first."""


StoreReport = WindowReport | ExactWindowReport | SpanReport | ExactSpanReport | DailyReport


@closed
class WindowRow(_OfStore, WindowFigures, _Covered):
    """The figures of a store's last hour (minutes), day and week (hours)."""


@closed
class ExactWindowRow(_OfStore, ExactWindowFigures, _Covered):
    """The figures of a store's last hour, day and week in seconds."""


@closed
class SpanRow(_OfStore, SpanFigures, _Covered):
    """The figures of a store in a time range, in minutes."""


@closed
class ExactSpanRow(_OfStore, ExactSpanFigures, _Covered):
    """The figures of a store in a time range, in seconds."""


@closed
class DayRow(_OfStore, SpanFigures, _OfDay, _Covered):
    """The figures of a local day of a store, in minutes."""


@closed
class ExactDayRow(_OfStore, ExactSpanFigures, _OfDay, _Covered):
    """The figures of a local day of a store, in seconds."""


FleetRow = WindowRow | ExactWindowRow | SpanRow | ExactSpanRow | DayRow | ExactDayRow


class _Event(TypedDict):
    report_id: ReportId
    at: Instant
    """The time at which this record was written."""


@closed
class ReportRunning(_Event):
    """A worker computes the report."""

    status: Literal["running"]
    """The status of the report."""


class PieceHead(TypedDict):
    """The fields of a chunk except its rows and the settings that they were computed with."""

    part: Number
    """The number of the part, from 0 on."""
    parts: Annotated[int, Field(strict=True, ge=1, le=_MAX_INTEGER)]
    """The number of parts of the report."""
    attempt: Text
    """The id of one computation of the part; only chunks of the same one belong together."""
    piece: Number
    """The number of the chunk in its part, from 0 on."""
    pieces: Annotated[int, Field(strict=True, ge=1, le=_MAX_INTEGER)]
    """The number of chunks of the part."""
    reference_time: Instant
    """The reference time of the figures."""
    input_offsets: PartitionOffsets
    """The applied offsets of the partition that the figures include, by source topic."""
    columns: ColumnNames
    """The names of the first values of a row, which are the columns of the CSV."""
    further: ColumnNames
    """The names of the other values of a row."""
    lost_input: NotRequired[list[LostInput]]
    """The lost records of the partition, if there are any: the figures may lack them."""


@closed
class Piece(PieceHead):
    """A chunk: some rows of one part of a report of many stores."""

    basis: SettingsUsed
    """The settings that the figures were computed with."""
    rows: list[list[str | float | None]]
    """The rows, in the order of store ids."""


@closed
class ReportPiece(_Event):
    """A chunk of a report of many stores, which is complete with the last chunk of all parts."""

    status: Literal["running"]
    """The status of the report."""
    piece: Piece
    """The chunk."""


@closed
class ReportComplete(_Event):
    """The report of one store is complete."""

    status: Literal["complete"]
    """The status of the report."""
    report: StoreReport
    """The figures and their provenance."""


@closed
class ReportFailed(_Event):
    """The report has failed."""

    status: Literal["failed"]
    """The status of the report."""
    reason: str
    """The reason why there is no report."""


class AnyReportEvent(_Event):
    """A record of `report-results` as it is read before its report or its chunk."""

    status: Literal["running", "complete", "failed"]
    reason: NotRequired[str | None]
    report: NotRequired[dict[str, Any] | None]
    piece: NotRequired[dict[str, Any] | None]
