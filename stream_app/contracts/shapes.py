"""The form of every record's value as types, from which the published schemas are made.

Encoders and decoders stand beside the records they write; what stands here is held against them
by tests. No `from __future__ import annotations`: pydantic reads the annotations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from stream_app.contracts.records import MAX_HOURS_ROWS, MAX_ZONE_LENGTH
from stream_app.contracts.reports import MAX_STORES_NAMED
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    FACTS_TABLE,
    REPORT_REQUESTS,
    REPORT_RESULTS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
    STORES,
    WATERMARKS,
    changelog,
)
from stream_app.domain.instants import LATEST

closed: Final = with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))
"""A form without other fields than its own: so a field that nobody described is found."""

EXAMPLE_STORE: Final = "97dd66d5-660c-48eb-8b5a-792c529ec4dd"
"""A store of the sample data."""

EXAMPLE_REPORT: Final = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

_UUID: Final[dict[str, Any]] = {"format": "uuid"}

StoreId = Annotated[str, Field(json_schema_extra=_UUID, examples=[EXAMPLE_STORE])]
ReportId = Annotated[str, Field(json_schema_extra=_UUID, examples=[EXAMPLE_REPORT])]
Status = Literal["active", "inactive"]
Instant = Annotated[
    str,
    Field(
        # the years that `check_instant` takes
        pattern="^(19[7-9][0-9]|20[0-9]{2})-",
        json_schema_extra={"format": "date-time"},
        examples=["2024-03-10T12:00:00Z"],
    ),
]
Microseconds = Annotated[int, Field(ge=0, lt=LATEST)]
Count = Annotated[int, Field(ge=0)]
Day = Annotated[int, Field(ge=0, le=6)]

_MINUTES: Final = "[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?"
_CLOCK: Final = f"([01]?[0-9]|2[0-3]):{_MINUTES}"
OpeningTime = Annotated[str, Field(pattern=f"^{_CLOCK}$", examples=["09:00"])]
ClosingTime = Annotated[
    str, Field(pattern=f"^({_CLOCK}|24:00(:00([.]0{{1,6}})?)?)$", examples=["17:00:00"])
]
HoursRow = tuple[Day, OpeningTime, ClosingTime]
"""`[day, start, end]`: 0 is Monday, local times of day."""

ZoneName = Annotated[str, Field(max_length=MAX_ZONE_LENGTH, examples=["America/Chicago"])]
StoreIds = Annotated[list[StoreId], Field(min_length=1, max_length=MAX_STORES_NAMED)]


@closed
class PollRecord(TypedDict):
    """One poll of a store: what a store that publishes itself sends."""

    store_id: StoreId
    status: Status
    timestamp_utc: Instant


@closed
class PollBatchRecord(TypedDict):
    """Polls of one store, in any order, duplicates allowed: what our producers send."""

    store_id: StoreId
    polls: Annotated[list[tuple[Microseconds, Literal[0, 1]]], Field(min_length=1)]
    """Pairs of the microseconds since 1970 and 1 for active, 0 for inactive."""


@closed
class HoursRecord(TypedDict):
    """All business hours of a store; no row at all: open 24/7."""

    store_id: StoreId
    hours: Annotated[list[HoursRow], Field(max_length=MAX_HOURS_ROWS)]
    """`[day, start, end]`: 0 is Monday, local times of day."""


@closed
class ZoneRecord(TypedDict):
    """The time zone of a store; where the name is unknown the default zone applies."""

    store_id: StoreId
    timezone_str: ZoneName


@closed
class StoreReportRequest(TypedDict):
    """A request for the report of one store."""

    report_id: ReportId
    """Chosen by who asks; asking twice with one id asks once."""
    store_id: StoreId
    reference_time: NotRequired[Instant]
    """Where the windows end; without it, by the reference clock of the deployment."""
    requested_at: NotRequired[Instant]
    """When it was first asked for; without it, when the broker took the record."""


@closed
class FleetReportRequest(TypedDict):
    """A request for one report of all stores."""

    report_id: ReportId
    scope: Literal["fleet"]
    reference_time: NotRequired[Instant]
    requested_at: NotRequired[Instant]


@closed
class StoresReportRequest(TypedDict):
    """A request for one report of the stores it names."""

    report_id: ReportId
    store_ids: StoreIds
    reference_time: NotRequired[Instant]
    requested_at: NotRequired[Instant]


@closed
class PartRequest(TypedDict):
    """What the worker that took a request for many stores asks of one partition's owner."""

    report_id: ReportId
    part: Count
    parts: Annotated[int, Field(ge=1)]
    scope: NotRequired[Literal["fleet"]]
    store_ids: NotRequired[StoreIds]
    reference_time: Instant
    requested_at: Instant


class _Figures(TypedDict):
    store_id: StoreId
    uptime_last_hour: Annotated[int, Field(ge=0, le=60)]
    """Minutes."""
    uptime_last_day: Annotated[float, Field(ge=0, le=24)]
    """Hours, two decimals."""
    uptime_last_week: Annotated[float, Field(ge=0, le=168)]
    """Hours, two decimals."""
    downtime_last_hour: Annotated[int, Field(ge=0, le=60)]
    """Minutes."""
    downtime_last_day: Annotated[float, Field(ge=0, le=24)]
    """Hours, two decimals."""
    downtime_last_week: Annotated[float, Field(ge=0, le=168)]
    """Hours, two decimals."""
    timezone: str
    """The zone in which its business hours were read."""
    polls_counted: Count


@closed
class FleetRow(_Figures):
    """The figures of one store in a report of many."""


@closed
class StoreReport(_Figures):
    """The figures of one store and what they rest on."""

    reference_time: Instant
    lookback: str
    """How long before the oldest window a poll still counts."""
    default_status: Status
    """What counts where no poll tells."""


@closed
class ReportRunning(TypedDict):
    """A worker makes the report."""

    report_id: ReportId
    status: Literal["running"]
    at: Instant


Row = tuple[StoreId, int, float, float, int, float, float, str, Count]


@closed
class Piece(TypedDict):
    """Rows of one part of a report of many stores."""

    part: Count
    parts: Annotated[int, Field(ge=1)]
    attempt: str
    """Which making of the part: pieces of different ones do not go together."""
    piece: Count
    pieces: Annotated[int, Field(ge=1)]
    reference_time: Instant
    lookback: str
    default_status: Status
    rows: list[Row]
    """In the order of store ids: the store, its six figures as in the CSV, zone, polls counted."""


@closed
class ReportPiece(TypedDict):
    """Some rows of a report of many stores; with the last of all parts it is complete."""

    report_id: ReportId
    status: Literal["running"]
    at: Instant
    piece: Piece


@closed
class ReportComplete(TypedDict):
    """The report of one store."""

    report_id: ReportId
    status: Literal["complete"]
    at: Instant
    report: StoreReport


@closed
class ReportFailed(TypedDict):
    """No report, and why."""

    report_id: ReportId
    status: Literal["failed"]
    at: Instant
    reason: str


@closed
class StoreRecord(TypedDict):
    """A store that exists, because a poll, hours or a zone named it."""

    store_id: StoreId


@closed
class WatermarkRecord(TypedDict):
    """Everything below `applied` of a source partition is in the tables of its owner."""

    topic: str
    partition: Count
    applied: Count
    newest_poll: Microseconds | None
    """Of all stores of the partition, in microseconds since 1970."""


@closed
class RecordSource(TypedDict):
    """A record of a topic."""

    topic: str
    partition: Count
    offset: Count


@closed
class FileSource(TypedDict):
    """A row of a file."""

    file: str
    line: Count
    kind: NotRequired[str]
    """What the rows of the file are."""
    columns: NotRequired[str]
    """The header of the file."""


@closed
class RequestSource(TypedDict):
    """A body sent by HTTP, or one item of it."""

    http: Annotated[str, Field(json_schema_extra=_UUID)]
    """Of the request."""
    path: str
    item: NotRequired[Count]
    """The index in a JSON array, the line in NDJSON."""


@closed
class Binary(TypedDict):
    """Bytes that are not UTF-8."""

    base64: Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]


@closed
class DeadLetterRecord(TypedDict):
    """What was refused, why, and where it stood."""

    source: RecordSource | FileSource | RequestSource
    reason: str
    original: str | Binary | None
    """As it came; null: a record without a value."""
    key: str | Binary | None
    """Of the record, where there was one."""
    truncated: NotRequired[Literal[True]]
    """Only the beginning of the original is kept."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a topic's records look like.

    Attributes:
        key: the form of the key.
        values: the forms of values; none where they are of no use to other programs.
    """

    key: Any
    values: tuple[Any, ...]


SHAPES: Final[Mapping[str, Described]] = {
    STORE_STATUS.name: Described(StoreId, (PollRecord, PollBatchRecord)),
    STORE_BUSINESS_HOURS.name: Described(StoreId, (HoursRecord,)),
    STORE_TIMEZONES.name: Described(StoreId, (ZoneRecord,)),
    REPORT_REQUESTS.name: Described(
        str, (StoreReportRequest, StoresReportRequest, FleetReportRequest, PartRequest)
    ),
    REPORT_RESULTS.name: Described(str, (ReportRunning, ReportPiece, ReportComplete, ReportFailed)),
    STORES.name: Described(StoreId, (StoreRecord,)),
    WATERMARKS.name: Described(str, (WatermarkRecord,)),
    DEAD_LETTERS.name: Described(str, (DeadLetterRecord,)),
    # binary, and the workers' own
    changelog(FACTS_TABLE).name: Described(bytes, ()),
}
"""Of every topic, by its name."""
