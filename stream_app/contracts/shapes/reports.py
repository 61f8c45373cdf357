"""What is told of stores: figures in each form of a report, what they rest on, and details."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from stream_app.contracts.shapes.values import (
    Count,
    Coverage,
    HoursRow,
    Instant,
    Status,
    StoreId,
    closed,
)

Seconds = Annotated[float, Field(ge=0)]
Date = Annotated[str, Field(json_schema_extra={"format": "date"}, examples=["2024-03-10"])]
InputOffsets = dict[str, dict[str, Count]]
"""By source topic and partition: up to where its records are in the figures."""


class WindowFigures(TypedDict):
    """Of the last hour in minutes, of the last day and week in hours."""

    uptime_last_hour: Annotated[int, Field(ge=0, le=60)]
    uptime_last_day: Annotated[float, Field(ge=0, le=24)]
    uptime_last_week: Annotated[float, Field(ge=0, le=168)]
    downtime_last_hour: Annotated[int, Field(ge=0, le=60)]
    downtime_last_day: Annotated[float, Field(ge=0, le=24)]
    downtime_last_week: Annotated[float, Field(ge=0, le=168)]


class ExactWindowFigures(TypedDict):
    """The same in seconds, exactly."""

    uptime_last_hour_seconds: Annotated[float, Field(ge=0, le=3600)]
    uptime_last_day_seconds: Annotated[float, Field(ge=0, le=86_400)]
    uptime_last_week_seconds: Annotated[float, Field(ge=0, le=604_800)]
    downtime_last_hour_seconds: Annotated[float, Field(ge=0, le=3600)]
    downtime_last_day_seconds: Annotated[float, Field(ge=0, le=86_400)]
    downtime_last_week_seconds: Annotated[float, Field(ge=0, le=604_800)]


class SpanFigures(TypedDict):
    """Of a span of time, in minutes."""

    start: Instant
    end: Instant
    uptime_minutes: Count
    downtime_minutes: Count


class ExactSpanFigures(TypedDict):
    """Of a span of time, in seconds, exactly."""

    start: Instant
    end: Instant
    uptime_seconds: Seconds
    downtime_seconds: Seconds


class _OfDay(TypedDict):
    date: Date
    """Of the store's own calendar."""


class _Backed(TypedDict):
    polls_counted: Count
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


@closed
class Window(TypedDict):
    """One of the three windows, all in minutes."""

    name: Literal["last_hour", "last_day", "last_week"]
    start: Instant
    end: Instant
    uptime_minutes: Count
    downtime_minutes: Count
    coverage: Coverage


@closed
class Interval(TypedDict):
    """A time in which nothing changes, the longest possible."""

    start: Instant
    end: Instant
    open: bool
    """Whether it lies in business hours."""
    status: Literal["active", "inactive", "unknown"]
    """What polls say of it."""
    counted_as: Status
    """What the figures take it for."""


@closed
class LocalDay(TypedDict):
    """A day of the store's own calendar, as far as it lies in the span."""

    date: Date
    start: Instant
    end: Instant
    uptime_minutes: Count
    downtime_minutes: Count
    coverage: Coverage


@closed
class Incident(TypedDict):
    """A longest time that counts as inactive, with business hours in it."""

    start: Instant
    end: Instant
    ongoing: bool
    """It reaches the end, and nothing has told that it is over."""
    began_earlier: bool
    """It reaches the start."""
    downtime_seconds: Seconds
    """Open time in it."""
    cause: Literal["reported", "silence"]
    """`reported`: a poll said inactive; `silence`: only the default status did."""


@closed
class LostInput(TypedDict):
    """Source records that the log deleted before any worker had applied them."""

    topic: str
    partition: Count
    first_offset: Count
    end_offset: Count
    """The offset behind the last lost record."""


@closed
class NewestPoll(TypedDict):
    """The newest poll of a store."""

    status: Status
    timestamp_utc: Instant


class _Detailed(TypedDict):
    last_poll: NotRequired[NewestPoll | None]
    windows: NotRequired[list[Window]]
    intervals: NotRequired[list[Interval]]
    local_days: NotRequired[list[LocalDay]]
    incidents: NotRequired[list[Incident]]


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
