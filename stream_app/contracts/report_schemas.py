"""What is told of stores: figures in each form of a report, what they rest on, and details."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from stream_app.contracts.business_hours import HoursRow
from stream_app.contracts.fields import Count, Instant, ReportId, Status, StoreId, closed

Coverage = Annotated[float, Field(ge=0, le=1)] | None
"""The share of open time that some poll backs; null: there is no open time."""

Seconds = Annotated[float, Field(ge=0)]
Date = Annotated[str, Field(json_schema_extra={"format": "date"}, examples=["2024-03-10"])]
InputOffsets = dict[str, dict[str, Count]]
"""By source topic and partition: up to where its records are in the figures."""


Minutes = Annotated[int, Field(ge=0, le=60)]
HoursOfDay = Annotated[float, Field(ge=0, le=24)]
HoursOfWeek = Annotated[float, Field(ge=0, le=168)]
SecondsOfHour = Annotated[float, Field(ge=0, le=3600)]
SecondsOfDay = Annotated[float, Field(ge=0, le=86_400)]
SecondsOfWeek = Annotated[float, Field(ge=0, le=604_800)]


class UnknownOfWindows(TypedDict, total=False):
    """How much of each figure no poll backs; missing in what an earlier version wrote."""

    unknown_uptime_last_hour: Minutes
    """Minutes up in the last hour that no poll backs."""
    unknown_uptime_last_day: HoursOfDay
    """Hours up in the last 24 hours that no poll backs."""
    unknown_uptime_last_week: HoursOfWeek
    """Hours up in the last 7 days that no poll backs."""
    unknown_downtime_last_hour: Minutes
    """Minutes down in the last hour that no poll backs."""
    unknown_downtime_last_day: HoursOfDay
    """Hours down in the last 24 hours that no poll backs."""
    unknown_downtime_last_week: HoursOfWeek
    """Hours down in the last 7 days that no poll backs."""


class WindowFigures(UnknownOfWindows):
    """Of the last hour in minutes, of the last day and week in hours."""

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
    """How much of each figure no poll backs, in seconds, exactly."""

    unknown_uptime_last_hour_seconds: SecondsOfHour
    """Seconds up in the last hour that no poll backs."""
    unknown_uptime_last_day_seconds: SecondsOfDay
    """Seconds up in the last 24 hours that no poll backs."""
    unknown_uptime_last_week_seconds: SecondsOfWeek
    """Seconds up in the last 7 days that no poll backs."""
    unknown_downtime_last_hour_seconds: SecondsOfHour
    """Seconds down in the last hour that no poll backs."""
    unknown_downtime_last_day_seconds: SecondsOfDay
    """Seconds down in the last 24 hours that no poll backs."""
    unknown_downtime_last_week_seconds: SecondsOfWeek
    """Seconds down in the last 7 days that no poll backs."""


class ExactWindowFigures(ExactUnknownOfWindows):
    """The same in seconds, exactly."""

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
    """How much of uptime and of downtime no poll backs; missing where an earlier version wrote."""

    unknown_uptime_minutes: Count
    """Minutes that count as up and that no poll backs."""
    unknown_downtime_minutes: Count
    """Minutes that count as down and that no poll backs."""


class SpanFigures(UnknownMinutes):
    """Of a span of time, in minutes."""

    start: Instant
    """Where it begins."""
    end: Instant
    """Where it ends; this instant is outside."""
    uptime_minutes: Count
    """Open minutes that count as up."""
    downtime_minutes: Count
    """Open minutes that count as down."""


class UnknownSeconds(TypedDict, total=False):
    """The same in seconds, exactly."""

    unknown_uptime_seconds: Seconds
    """Seconds that count as up and that no poll backs."""
    unknown_downtime_seconds: Seconds
    """Seconds that count as down and that no poll backs."""


class ExactSpanFigures(UnknownSeconds):
    """Of a span of time, in seconds, exactly."""

    start: Instant
    """Where it begins."""
    end: Instant
    """Where it ends; this instant is outside."""
    uptime_seconds: Seconds
    """Open seconds that count as up."""
    downtime_seconds: Seconds
    """Open seconds that count as down."""


class _OfDay(TypedDict):
    date: Date
    """Of the store's own calendar."""


class _Backed(TypedDict):
    polls_counted: Count
    """How many polls lie in the time; of a whole span, also in the lookback before it."""
    coverage: Coverage
    """The share of open time that some poll backs; null: there is no open time."""


@closed
class DayFigures(SpanFigures, _OfDay, _Backed):
    """Of a local day, as far as it lies in the span."""


@closed
class ExactDayFigures(ExactSpanFigures, _OfDay, _Backed):
    """Of a local day, as far as it lies in the span, in seconds."""


class SettingsUsed(TypedDict):
    """What the figures of all stores rest on."""

    lookback: str
    """How long before the time asked for a poll still counts."""
    default_status: Status
    """What counts where no poll tells."""
    stale_after: str
    """How long a poll backs what is counted."""
    tzdata_version: str
    """Of the time zone tables."""


class _OfStore(TypedDict):
    store_id: StoreId
    timezone: str
    """In which its business hours were read."""
    hours_version: str
    """A digest of its business hours."""
    unknown_timezone: NotRequired[str | None]
    """The name that it was given, where there is no such zone and the default one applies."""


@closed
class Window(UnknownMinutes):
    """One of the three windows, all in minutes."""

    name: Literal["last_hour", "last_day", "last_week"]
    """Which window."""
    start: Instant
    """Where it begins."""
    end: Instant
    """Where it ends; this instant is outside."""
    uptime_minutes: Count
    """Open minutes that count as up."""
    downtime_minutes: Count
    """Open minutes that count as down."""
    coverage: Coverage
    """The share of open time that some poll backs; null: there is no open time."""


@closed
class Interval(TypedDict):
    """A time in which nothing changes, the longest possible."""

    start: Instant
    """Where it begins."""
    end: Instant
    """Where it ends; this instant is outside."""
    open: bool
    """Whether it lies in business hours."""
    status: Literal["active", "inactive", "unknown"]
    """What polls say of it."""
    counted_as: Status
    """What the figures take it for."""


@closed
class LocalDay(SpanFigures):
    """A day of the store's own calendar, as far as it lies in the span."""

    date: Date
    """Of the store's own calendar."""
    coverage: Coverage
    """The share of open time that some poll backs; null: there is no open time."""
    whole_day: NotRequired[bool]
    """False: the day began before the span, or ends after it."""


@closed
class Incident(TypedDict):
    """A longest time that counts as inactive, with business hours in it."""

    start: Instant
    """Where it begins."""
    end: Instant
    """Where it ends; this instant is outside."""
    ongoing: bool
    """It reaches the end, and nothing has told that it is over."""
    began_earlier: bool
    """It reaches the start."""
    downtime_seconds: Seconds
    """Open time in it."""
    unknown_downtime_seconds: NotRequired[Seconds]
    """How much of that no poll backs."""
    cause: Literal["reported", "silence"]
    """`reported`: a poll said inactive; `silence`: only the default status did."""


@closed
class LostInput(TypedDict):
    """Source records that the log deleted before any worker had applied them."""

    topic: str
    """The source topic."""
    partition: Count
    """Its partition."""
    first_offset: Count
    """The offset of the first lost record."""
    end_offset: Count
    """The offset behind the last lost record."""


@closed
class NewestPoll(TypedDict):
    """The newest poll of a store."""

    status: Status
    """What the store said of itself."""
    timestamp_utc: Instant
    """When the poll was made."""


class _Detailed(TypedDict):
    last_poll: NotRequired[NewestPoll | None]
    """The newest poll at or before the end; only where it was asked for. Null: none."""
    windows: NotRequired[list[Window]]
    """The three windows; only where they were asked for."""
    intervals: NotRequired[list[Interval]]
    """The timeline; only where it was asked for."""
    local_days: NotRequired[list[LocalDay]]
    """Day by day; only where they were asked for."""
    incidents: NotRequired[list[Incident]]
    """Only where they were asked for."""


class _Report(_OfStore, _Backed, SettingsUsed, _Detailed):
    reference_time: Instant
    """Where the time of the figures ends."""
    business_hours: list[HoursRow] | None
    """Null: open 24/7."""
    input_offsets: InputOffsets
    """By source topic and partition: up to where its records are in the figures."""
    lost_input: NotRequired[list[LostInput]]
    """Only where records of the store's partition were lost: the figures may lack them."""
    columns: list[str]
    """Of the CSV, in order."""


@closed
class WindowReport(_Report, WindowFigures):
    """A store's last hour (minutes), day and week (hours)."""


@closed
class ExactWindowReport(_Report, ExactWindowFigures):
    """A store's last hour, day and week in seconds."""


@closed
class SpanReport(_Report, SpanFigures):
    """A span of a store's time in minutes."""


@closed
class ExactSpanReport(_Report, ExactSpanFigures):
    """A span of a store's time in seconds."""


@closed
class DailyReport(_Report):
    """A span of a store's time day by day."""

    days: list[DayFigures] | list[ExactDayFigures]
    """The local days, the earliest first."""


StoreReport = WindowReport | ExactWindowReport | SpanReport | ExactSpanReport | DailyReport


@closed
class WindowRow(_OfStore, WindowFigures, _Backed):
    """A store's last hour (minutes), day and week (hours)."""


@closed
class ExactWindowRow(_OfStore, ExactWindowFigures, _Backed):
    """A store's last hour, day and week in seconds."""


@closed
class SpanRow(_OfStore, SpanFigures, _Backed):
    """A span of a store's time in minutes."""


@closed
class ExactSpanRow(_OfStore, ExactSpanFigures, _Backed):
    """A span of a store's time in seconds."""


@closed
class DayRow(_OfStore, SpanFigures, _OfDay, _Backed):
    """A local day of a store in minutes."""


@closed
class ExactDayRow(_OfStore, ExactSpanFigures, _OfDay, _Backed):
    """A local day of a store in seconds."""


FleetRow = WindowRow | ExactWindowRow | SpanRow | ExactSpanRow | DayRow | ExactDayRow


@closed
class ReportRunning(TypedDict):
    """A worker makes the report."""

    report_id: ReportId
    status: Literal["running"]
    """How far the report is."""
    at: Instant
    """When this was written."""


@closed
class Basis(SettingsUsed):
    """What the figures of all stores rest on."""


@closed
class Piece(TypedDict):
    """Rows of one part of a report of many stores."""

    part: Count
    """Which part of the report, from 0 on."""
    parts: Annotated[int, Field(ge=1)]
    """How many parts the report has."""
    attempt: str
    """Which making of the part: pieces of different ones do not go together."""
    piece: Count
    """Which piece of the part, from 0 on."""
    pieces: Annotated[int, Field(ge=1)]
    """How many pieces the part has."""
    reference_time: Instant
    """Where the time of the figures ends."""
    basis: Basis
    """The settings that the figures rest on."""
    input_offsets: dict[str, Count]
    """By source topic: up to where the partition's records are in the figures."""
    columns: list[str]
    """Names of the first values of a row, which the CSV has."""
    further: list[str]
    """Names of its other values."""
    rows: list[list[str | float | None]]
    """In the order of store ids."""
    lost_input: NotRequired[list[LostInput]]
    """Only where records of the partition were lost: the figures may lack them."""


@closed
class ReportPiece(TypedDict):
    """Some rows of a report of many stores; with the last of all parts it is complete."""

    report_id: ReportId
    status: Literal["running"]
    """How far the report is."""
    at: Instant
    """When this was written."""
    piece: Piece
    """The rows."""


@closed
class ReportComplete(TypedDict):
    """The report of one store."""

    report_id: ReportId
    status: Literal["complete"]
    """How far the report is."""
    at: Instant
    """When this was written."""
    report: StoreReport
    """The figures, and what they rest on."""


@closed
class ReportFailed(TypedDict):
    """No report, and why."""

    report_id: ReportId
    status: Literal["failed"]
    """How far the report is."""
    at: Instant
    """When this was written."""
    reason: str
    """Why there is none."""
