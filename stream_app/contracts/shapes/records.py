"""What records look like, by topic."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from stream_app.contracts.business_hours import MAX_HOURS_ROWS
from stream_app.contracts.revisions import ORIGIN_HEADER
from stream_app.contracts.shapes.reports import LostInput, SettingsUsed, StoreReport
from stream_app.contracts.shapes.values import (
    Count,
    Duration,
    HoursRow,
    Instant,
    Microseconds,
    ReportId,
    Status,
    StoreId,
    StoreIds,
    Uuid,
    ZoneName,
    closed,
)
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    FACTS_TABLE,
    LATEST_POLLS,
    QUERY_RESULTS,
    REPORT_REQUESTS,
    REPORT_RESULTS,
    STORE_BUSINESS_HOURS,
    STORE_QUERIES,
    STORE_STATUS,
    STORE_TIMEZONES,
    STORES,
    WATERMARKS,
    WEBHOOKS,
    changelog,
)


@closed
class PollRecord(TypedDict):
    """One poll of a store: what a store that publishes itself sends."""

    store_id: StoreId
    status: Status
    """What the store said of itself."""
    timestamp_utc: Instant
    """When the poll was made."""


@closed
class PollBatchRecord(TypedDict):
    """Polls of one store, in any order, duplicates allowed: what our producers send."""

    store_id: StoreId
    polls: Annotated[list[tuple[Microseconds, Literal[0, 1]]], Field(min_length=1)]
    """Pairs of the microseconds since 1970 and 1 for active, 0 for inactive."""


@closed
class PollsRemovalRecord(TypedDict):
    """All polls of a store that came before are taken back."""

    store_id: StoreId
    removed: Literal[True]
    """There is no other value: a store of which polls come in later has those alone."""


@closed
class RecordOrigin(TypedDict):
    """Where and when the broker took a record that a worker forwarded to its store's partition."""

    append_time_ms: Count
    """The broker's time of the record, in milliseconds since 1970."""
    partition: Count
    """Of the same topic."""
    offset: Count
    """In that partition."""


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
    """IANA name of the zone."""


class FigureChoice(TypedDict):
    """Which figures are wanted; the three windows where nothing is said."""

    start: NotRequired[Instant]
    """Where the time begins; not together with `duration`."""
    duration: NotRequired[Duration]
    """How long the time is (ISO 8601; weeks, days, hours, minutes, seconds)."""
    daily: NotRequired[bool]
    """Day by day, by the store's own calendar."""
    exact: NotRequired[bool]
    """Seconds, without the grid of minutes."""


class _Request(FigureChoice):
    report_id: ReportId
    """Chosen by who asks; asking twice with one id asks once."""
    reference_time: NotRequired[Instant]
    """Where the time ends, also called `end`; without it, by the deployment's reference clock."""
    end: NotRequired[Instant]
    """Another name of `reference_time`."""
    requested_at: NotRequired[Instant]
    """When it was first asked for; without it, when the broker took the record."""


@closed
class StoreReportRequest(_Request):
    """A request for the report of one store."""

    store_id: StoreId
    details: NotRequired[list[Literal["windows", "timeline", "days", "incidents", "last_poll"]]]
    """What is told besides the figures."""


@closed
class FleetReportRequest(_Request):
    """A request for one report of all stores."""

    scope: Literal["fleet"]
    """All stores that there are."""


@closed
class StoresReportRequest(_Request):
    """A request for one report of the stores it names."""

    store_ids: StoreIds
    """The stores."""


@closed
class PartRequest(FigureChoice):
    """What the worker that took a request for many stores asks of one partition's owner."""

    report_id: ReportId
    part: Count
    """Which part, from 0 on: the number of the partition."""
    parts: Annotated[int, Field(ge=1)]
    """How many parts the report has."""
    scope: NotRequired[Literal["fleet"]]
    """All stores of the partition."""
    store_ids: NotRequired[StoreIds]
    """The stores of the partition that are asked for."""
    reference_time: Instant
    """Where the time ends."""
    requested_at: Instant
    """When the report was first asked for."""


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


@closed
class StoreRecord(TypedDict):
    """A store that exists, because a poll, hours or a zone named it."""

    store_id: StoreId


@closed
class WatermarkRecord(TypedDict):
    """Everything below `applied` of a source partition is in the tables of its owner."""

    topic: str
    """A source topic."""
    partition: Count
    """One of its partitions."""
    applied: Count
    """The first offset that is not applied yet."""
    newest_poll: Microseconds | None
    """Of all stores of the partition, in microseconds since 1970."""
    topic_id: NotRequired[str | None]
    """Kafka's id of the source topic: one that was deleted and made anew has another."""
    stores: NotRequired[Count]
    """Of the partition; told with polls alone."""


@closed
class RestoreStatusRecord(TypedDict):
    """How far a worker is with reading a partition back, before it owns it."""

    restore: Count
    """The partition number."""
    done: Count
    """Changelog records that were read."""
    to_do: Count
    """Changelog records that are still to read."""
    seconds_left: Count | None
    """How long the rest will take, as it looks now; null: nobody can say yet."""


@closed
class WebhookRecord(TypedDict):
    """Who wants to be told of a report's end."""

    report_id: ReportId
    url: str
    """Where the news is sent."""
    requested_at: Instant
    """When the report was asked for."""


@closed
class RecordSource(TypedDict):
    """A record of a topic."""

    topic: str
    """The topic."""
    partition: Count
    """Its partition."""
    offset: Count
    """The offset in it."""
    last_offset: NotRequired[Count]
    """Of several records that cannot be read."""


@closed
class FileSource(TypedDict):
    """A row of a file."""

    file: str
    """The path, as it was given."""
    line: Count
    """The number of the line; the header is line 1."""
    kind: NotRequired[str]
    """What the rows of the file are."""
    columns: NotRequired[str]
    """The header of the file."""


@closed
class RequestSource(TypedDict):
    """A body sent by HTTP, or one item of it."""

    http: Uuid
    """Of the request."""
    path: str
    """The path of the request."""
    item: NotRequired[Count]
    """The index in a JSON array, the line in NDJSON."""


@closed
class Binary(TypedDict):
    """Bytes that are not UTF-8."""

    base64: Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]
    """The bytes in base64."""


@closed
class DeadLetterRecord(TypedDict):
    """What was refused, why, and where it stood."""

    source: RecordSource | FileSource | RequestSource
    """Where it stood."""
    reason: str
    """Why it was refused, in words."""
    original: str | Binary | None
    """As it came; null: a record without a value."""
    key: str | Binary | None
    """Of the record, where there was one."""
    truncated: NotRequired[Literal[True]]
    """Only the beginning of the original is kept."""


_REQUESTS: Final = (StoreReportRequest, StoresReportRequest, FleetReportRequest, PartRequest)
_EVENTS: Final = (ReportRunning, ReportPiece, ReportComplete, ReportFailed)


@dataclass(frozen=True, slots=True)
class Described:
    """What a topic's records look like.

    Attributes:
        key: the shape of the key.
        values: the shapes of values; none where they are of no use to other programs.
        headers: the shapes of headers that a record may have, by name; their values are JSON.
    """

    key: Any
    values: tuple[Any, ...]
    headers: Mapping[str, Any] = field(default_factory=dict)


_FORWARDED: Final = {ORIGIN_HEADER: RecordOrigin}


SHAPES: Final[Mapping[str, Described]] = {
    STORE_STATUS.name: Described(StoreId, (PollRecord, PollBatchRecord, PollsRemovalRecord)),
    STORE_BUSINESS_HOURS.name: Described(str, (HoursRecord,), _FORWARDED),
    STORE_TIMEZONES.name: Described(str, (ZoneRecord,), _FORWARDED),
    REPORT_REQUESTS.name: Described(str, _REQUESTS),
    STORE_QUERIES.name: Described(str, _REQUESTS),
    REPORT_RESULTS.name: Described(str, _EVENTS),
    QUERY_RESULTS.name: Described(str, _EVENTS),
    LATEST_POLLS.name: Described(StoreId, (PollRecord,)),
    WEBHOOKS.name: Described(ReportId, (WebhookRecord,)),
    STORES.name: Described(StoreId, (StoreRecord,)),
    WATERMARKS.name: Described(str, (WatermarkRecord, RestoreStatusRecord)),
    DEAD_LETTERS.name: Described(str, (DeadLetterRecord,)),
    # binary, and the workers' own
    changelog(FACTS_TABLE).name: Described(bytes, ()),
}
"""Of every topic, by its name."""
