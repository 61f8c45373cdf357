"""The models of reports: the figures in each form, their provenance, and the details of a store."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from stream_app.contracts.business_hours import HoursRow
from stream_app.contracts.fields import Count, Instant, ReportId, Status, StoreId, closed

Coverage = Annotated[float, Field(ge=0, le=1)] | None
"""The share of business hours that polls cover; null if there are no business hours."""

Seconds = Annotated[float, Field(ge=0)]
Date = Annotated[str, Field(json_schema_extra={"format": "date"}, examples=["2024-03-10"])]
InputOffsets = dict[str, dict[str, Count]]
"""By source topic and partition: the applied offset that the figures include."""

Minutes = Annotated[int, Field(ge=0, le=60)]
HoursOfDay = Annotated[float, Field(ge=0, le=24)]
HoursOfWeek = Annotated[float, Field(ge=0, le=168)]
SecondsOfHour = Annotated[float, Field(ge=0, le=3600)]
SecondsOfDay = Annotated[float, Field(ge=0, le=86_400)]
SecondsOfWeek = Annotated[float, Field(ge=0, le=604_800)]


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

    unknown_uptime_minutes: Count
    """Minutes that count as up and that no poll covers."""
    unknown_downtime_minutes: Count
    """Minutes that count as down and that no poll covers."""


class SpanFigures(UnknownMinutes):
    """The figures of a time range, in minutes."""

    start: Instant
    """The time at which it begins."""
    end: Instant
    """The time at which it ends, exclusive."""
    uptime_minutes: Count
    """Open minutes that count as up."""
    downtime_minutes: Count
    """Open minutes that count as down."""


class UnknownSeconds(TypedDict, total=False):
    """The exact seconds up and down that no poll covers."""

    unknown_uptime_seconds: Seconds
    """Seconds that count as up and that no poll covers."""
    unknown_downtime_seconds: Seconds
    """Seconds that count as down and that no poll covers."""


class ExactSpanFigures(UnknownSeconds):
    """The figures of a time range, in exact seconds."""

    start: Instant
    """The time at which it begins."""
    end: Instant
    """The time at which it ends, exclusive."""
    uptime_seconds: Seconds
    """Open seconds that count as up."""
    downtime_seconds: Seconds
    """Open seconds that count as down."""


class _OfDay(TypedDict):
    date: Date
    """The date in the store's own calendar."""


class _Backed(TypedDict):
    polls_counted: Count
    """The number of polls in the time range; for a whole range, those of its lookback too."""
    coverage: Coverage
    """The share of business hours that polls cover; null if there are no business hours."""


@closed
class DayFigures(SpanFigures, _OfDay, _Backed):
    """The figures of a local day, as far as it lies in the time range, in minutes."""


@closed
class ExactDayFigures(ExactSpanFigures, _OfDay, _Backed):
    """The figures of a local day, as far as it lies in the time range, in seconds."""


class SettingsUsed(TypedDict):
    """The settings that the figures of all stores were computed with."""

    lookback: str
    """The time before a time range in which a poll still counts for its beginning."""
    default_status: Status
    """The status that counts while no poll gives one."""
    stale_after: str
    """The time after a poll that the poll covers."""
    tzdata_version: str
    """The version of the timezone data."""


class _OfStore(TypedDict):
    store_id: StoreId
    timezone: str
    """The timezone of the store's business hours."""
    hours_version: str
    """The digest of the store's business hours."""
    unknown_timezone: NotRequired[str | None]
    """The unknown timezone name that the store was given; the default timezone applies."""


@closed
class Window(UnknownMinutes):
    """One of the three windows, all in minutes."""

    name: Literal["last_hour", "last_day", "last_week"]
    """The name of the window."""
    start: Instant
    """The time at which it begins."""
    end: Instant
    """The time at which it ends, exclusive."""
    uptime_minutes: Count
    """Open minutes that count as up."""
    downtime_minutes: Count
    """Open minutes that count as down."""
    coverage: Coverage
    """The share of business hours that polls cover; null if there are no business hours."""


@closed
class Interval(TypedDict):
    """A segment of the timeline: the longest time in which no field changes."""

    start: Instant
    """The time at which it begins."""
    end: Instant
    """The time at which it ends, exclusive."""
    open: bool
    """True if the segment lies in business hours."""
    status: Literal["active", "inactive", "unknown"]
    """The status according to the polls."""
    counted_as: Status
    """The status that the figures count."""


@closed
class LocalDay(SpanFigures):
    """A day of the store's own calendar, as far as it lies in the time range."""

    date: Date
    """The date in the store's own calendar."""
    coverage: Coverage
    """The share of business hours that polls cover; null if there are no business hours."""
    whole_day: NotRequired[bool]
    """False if the day begins before the time range, or ends after it."""


@closed
class Incident(TypedDict):
    """One unbroken time of a store being down that touches its business hours."""

    start: Instant
    """The time at which it begins."""
    end: Instant
    """The time at which it ends, exclusive."""
    ongoing: bool
    """True if the incident reaches the end of the time range and no poll has ended it."""
    began_earlier: bool
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

    topic: str
    """The source topic."""
    partition: Count
    """The partition of the topic."""
    first_offset: Count
    """The offset of the first lost record."""
    end_offset: Count
    """The offset after the last lost record."""


@closed
class NewestPoll(TypedDict):
    """The newest poll of a store."""

    status: Status
    """The status that the store reported."""
    timestamp_utc: Instant
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


class _Report(_OfStore, _Backed, SettingsUsed, _Detailed):
    reference_time: Instant
    """The reference time of the figures."""
    business_hours: list[HoursRow] | None
    """The business hours of the store; null if it is open 24/7."""
    input_offsets: InputOffsets
    """By source topic and partition: the applied offset that the figures include."""
    lost_input: NotRequired[list[LostInput]]
    """The lost records of the store's partition, if there are any: the figures may lack them."""
    columns: list[str]
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
class WindowRow(_OfStore, WindowFigures, _Backed):
    """The figures of a store's last hour (minutes), day and week (hours)."""


@closed
class ExactWindowRow(_OfStore, ExactWindowFigures, _Backed):
    """The figures of a store's last hour, day and week in seconds."""


@closed
class SpanRow(_OfStore, SpanFigures, _Backed):
    """The figures of a store in a time range, in minutes."""


@closed
class ExactSpanRow(_OfStore, ExactSpanFigures, _Backed):
    """The figures of a store in a time range, in seconds."""


@closed
class DayRow(_OfStore, SpanFigures, _OfDay, _Backed):
    """The figures of a local day of a store, in minutes."""


@closed
class ExactDayRow(_OfStore, ExactSpanFigures, _OfDay, _Backed):
    """The figures of a local day of a store, in seconds."""


FleetRow = WindowRow | ExactWindowRow | SpanRow | ExactSpanRow | DayRow | ExactDayRow


@closed
class ReportRunning(TypedDict):
    """A worker computes the report."""

    report_id: ReportId
    status: Literal["running"]
    """The status of the report."""
    at: Instant
    """The time at which this record was written."""


@closed
class Basis(SettingsUsed):
    """The settings that the figures of all stores were computed with."""


@closed
class Piece(TypedDict):
    """A chunk: some rows of one part of a report of many stores."""

    part: Count
    """The number of the part, from 0 on."""
    parts: Annotated[int, Field(ge=1)]
    """The number of parts of the report."""
    attempt: str
    """The id of one computation of the part; only chunks of the same one belong together."""
    piece: Count
    """The number of the chunk in its part, from 0 on."""
    pieces: Annotated[int, Field(ge=1)]
    """The number of chunks of the part."""
    reference_time: Instant
    """The reference time of the figures."""
    basis: Basis
    """The settings that the figures were computed with."""
    input_offsets: dict[str, Count]
    """By source topic: the applied offset of the partition that the figures include."""
    columns: list[str]
    """The names of the first values of a row, which are the columns of the CSV."""
    further: list[str]
    """The names of the other values of a row."""
    rows: list[list[str | float | None]]
    """The rows, in the order of store ids."""
    lost_input: NotRequired[list[LostInput]]
    """The lost records of the partition, if there are any: the figures may lack them."""


@closed
class ReportPiece(TypedDict):
    """A chunk of a report of many stores, which is complete with the last chunk of all parts."""

    report_id: ReportId
    status: Literal["running"]
    """The status of the report."""
    at: Instant
    """The time at which this record was written."""
    piece: Piece
    """The chunk."""


@closed
class ReportComplete(TypedDict):
    """The report of one store is complete."""

    report_id: ReportId
    status: Literal["complete"]
    """The status of the report."""
    at: Instant
    """The time at which this record was written."""
    report: StoreReport
    """The figures and their provenance."""


@closed
class ReportFailed(TypedDict):
    """The report has failed."""

    report_id: ReportId
    status: Literal["failed"]
    """The status of the report."""
    at: Instant
    """The time at which this record was written."""
    reason: str
    """The reason why there is no report."""
