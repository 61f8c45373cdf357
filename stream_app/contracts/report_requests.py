"""The records of `report-requests` and of `store-queries`.

A record of the same form requests a report on the one topic, and is a query on the other.
"""

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal, NotRequired, get_args

import orjson
from pydantic import Field, PlainValidator, ValidationInfo
from typing_extensions import TypedDict

from stream_app.contracts.fields import (
    Count,
    DurationText,
    Instant,
    InstantText,
    ReportId,
    StoreId,
    closed,
    field_of,
    object_of,
    own_object_of,
    parse_count,
    parse_uuid,
    shown,
    validate,
)
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import (
    format_instant,
    format_iso_duration,
    parse_instant,
    parse_iso_duration,
)
from stream_app.errors import RecordError

MAX_STORES_NAMED: Final = 10_000
"""The most stores that one request may name; more do not fit in a record."""

FLEET: Final = "fleet"
"""The scope of a request for all stores."""

Include = Literal["windows", "timeline", "days", "incidents", "last_poll"]
DETAILS: Final[tuple[Include, ...]] = get_args(Include)
"""The details that a report of one store can include, in their order."""


def stores_named(content: object) -> tuple[str, ...]:
    """Return the stores that a request names, sorted and each once.

    Raises:
        RecordError: the content is not a list of ids, or the list is too long or empty.
    """
    if not isinstance(content, list):
        raise RecordError(f"store_ids is not a list but {type(content).__name__}")
    if not 0 < len(content) <= MAX_STORES_NAMED:
        raise RecordError(f"store_ids names {len(content)} stores, not 1 to {MAX_STORES_NAMED:,}")
    return tuple(sorted({parse_uuid(store_id) for store_id in content}))


def _optional_instant(text: object, info: ValidationInfo) -> int | None:
    if text is None:
        return None
    try:
        return parse_instant(text)
    except RecordError as error:
        raise RecordError(f"{info.field_name}: {error}") from None


def _optional_duration(text: object) -> int | None:
    return None if text is None else parse_iso_duration(text)


def _flag(flag: object, info: ValidationInfo) -> bool:
    if not isinstance(flag, bool | None):
        raise RecordError(f"{info.field_name} is not true or false: {shown(flag)}")
    return bool(flag)


def _fleet(scope: object) -> str:
    if scope != FLEET:
        raise RecordError(f"scope is not {FLEET!r}: {shown(scope)}")
    return FLEET


def _details(details: object) -> tuple[Include, ...]:
    if details is None:
        return ()
    if not isinstance(details, list) or any(detail not in DETAILS for detail in details):
        raise RecordError(f"details are not of {', '.join(DETAILS)}: {shown(details)}")
    return tuple(detail for detail in DETAILS if detail in details)


def _part(number: object, info: ValidationInfo) -> int:
    return parse_count(number, info.field_name or "part", 0)


def _parts(number: object, info: ValidationInfo) -> int:
    return parse_count(number, info.field_name or "parts", 1)


OptionalInstant = Annotated[
    int | None, PlainValidator(_optional_instant, json_schema_input_type=InstantText)
]
_OptionalDuration = Annotated[
    int | None, PlainValidator(_optional_duration, json_schema_input_type=DurationText)
]
NullableInstant = Annotated[
    int | None, PlainValidator(_optional_instant, json_schema_input_type=InstantText | None)
]
NullableDuration = Annotated[
    int | None, PlainValidator(_optional_duration, json_schema_input_type=DurationText | None)
]
NullableFlag = Annotated[bool, PlainValidator(_flag, json_schema_input_type=bool | None)]
Flag = Annotated[bool, PlainValidator(_flag, json_schema_input_type=bool)]
Fleet = Annotated[str, PlainValidator(_fleet, json_schema_input_type=Literal["fleet"])]
StoreIds = Annotated[
    tuple[str, ...],
    PlainValidator(
        stores_named,
        json_schema_input_type=Annotated[
            list[StoreId], Field(min_length=1, max_length=MAX_STORES_NAMED)
        ],
    ),
]


class FigureChoice(TypedDict):
    """The fields that choose the figures of a report; without any of them, the three windows."""

    start: NotRequired[OptionalInstant]
    """The start of the time range; not together with `duration`."""
    duration: NotRequired[_OptionalDuration]
    """The length of the time range (ISO 8601; weeks, days, hours, minutes, seconds)."""
    daily: NotRequired[Flag]
    """True for figures day by day, by the store's own calendar."""
    exact: NotRequired[Flag]
    """True for figures in seconds, without the grid of minutes."""


class _Request(FigureChoice):
    report_id: ReportId
    """The id that the client chooses; a second request with the same id is the same request."""
    reference_time: NotRequired[OptionalInstant]
    """The end of the time range, also called `end`; without it, the reference clock decides."""
    end: NotRequired[OptionalInstant]
    """Another name of `reference_time`."""
    requested_at: NotRequired[OptionalInstant]
    """The time of the first request; without it, the broker's time of the record."""


@closed
class StoreReportRequest(_Request):
    """A request for the report of one store."""

    store_id: StoreId
    details: NotRequired[
        Annotated[
            tuple[Include, ...], PlainValidator(_details, json_schema_input_type=list[Include])
        ]
    ]
    """The details that the report has besides the figures."""


@closed
class FleetReportRequest(_Request):
    """A request for one report of all stores."""

    scope: Fleet
    """The value `fleet`, which means all stores."""


@closed
class StoresReportRequest(_Request):
    """A request for one report of the stores it names."""

    store_ids: StoreIds
    """The ids of the stores."""


@closed
class PartRequest(FigureChoice):
    """A request for one part of a report, from the worker that handles the whole report."""

    report_id: ReportId
    part: Annotated[int, PlainValidator(_part, json_schema_input_type=Count)]
    """The number of the part, which is that of its partition."""
    parts: Annotated[
        int, PlainValidator(_parts, json_schema_input_type=Annotated[int, Field(ge=1)])
    ]
    """The number of parts of the report."""
    scope: NotRequired[Fleet]
    """The value `fleet`, which means all stores of the partition."""
    store_ids: NotRequired[StoreIds]
    """The ids of the requested stores of the partition."""
    reference_time: Instant
    """The end of the time range."""
    requested_at: Instant
    """The time of the first request for the report."""


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """A request for the report of one store.

    Attributes:
        report_id: the id that the client chose; a second request with the same id is the same one.
        store_id: the store.
        reference_time: µs; None if the reference clock of the deployment decides.
        requested_at: µs; None for the append time of the record. It does not change when a request
            is forwarded to another partition or worker, so that its deadline does not move.
        spec: the spec of the report.
        details: the details to include.
    """

    report_id: str
    store_id: str
    reference_time: int | None = None
    requested_at: int | None = None
    spec: ReportSpec = field(default_factory=ReportSpec)
    details: tuple[Include, ...] = ()

    @property
    def key(self) -> str:
        """Return the key of the record, which is the store's."""
        return self.store_id


@dataclass(frozen=True, slots=True)
class FleetRequest:
    """A request for one report of many stores.

    Attributes:
        report_id: see `ReportRequest`.
        store_ids: the stores, sorted and each once; None for all stores.
        reference_time: see `ReportRequest`.
        requested_at: see `ReportRequest`.
        spec: the spec of the report.
    """

    report_id: str
    store_ids: tuple[str, ...] | None = None
    reference_time: int | None = None
    requested_at: int | None = None
    spec: ReportSpec = field(default_factory=ReportSpec)

    @property
    def key(self) -> str:
        """Return the key of the record: the owner of any partition can answer it."""
        return self.report_id


@dataclass(frozen=True, slots=True)
class FleetPartRequest:
    """The request for the part of one partition, which the worker of a `FleetRequest` sends.

    Attributes:
        report_id: the id of the whole report.
        part: the partition.
        parts: the number of parts of the report.
        reference_time: µs; the same for all parts.
        requested_at: µs; the time of the request for the whole report.
        store_ids: the requested stores of the partition, sorted; None for all of them.
        spec: the spec of the report.
    """

    report_id: str
    part: int
    parts: int
    reference_time: int
    requested_at: int
    store_ids: tuple[str, ...] | None = None
    spec: ReportSpec = field(default_factory=ReportSpec)

    @property
    def key(self) -> str:
        """Return the key of the record; the partition is that of the part."""
        return self.report_id


UserRequest = ReportRequest | FleetRequest
"""A request that a client sends."""

ReportRequestRecord = UserRequest | FleetPartRequest
"""A request that a worker answers, from a client or from another worker."""


def original_request_time(request: ReportRequestRecord, append_time: int) -> int:
    """Return the time of the first request for a report, µs.

    It is never later than the record, so that a client cannot postpone its report's deadline.

    Args:
        request: the request.
        append_time: µs; the broker's time of this record of the request.
    """
    if request.requested_at is None:
        return append_time
    return min(request.requested_at, append_time)


def with_original_time(request: ReportRequestRecord, append_time: int) -> ReportRequestRecord:
    """Return the request to forward to another partition or worker, with an unchanged deadline."""
    return replace(request, requested_at=original_request_time(request, append_time))


def request_fingerprint(request: ReportRequestRecord) -> str:
    """Return a text that is equal for two requests for the same stores, spec and details."""
    if isinstance(request, ReportRequest):
        stores = request.store_id
        further = _spec_content(request.spec) | _details_content(request.details)
    else:
        further = _spec_content(request.spec)
        stores = FLEET
        if request.store_ids is not None:
            stores = blake2b("".join(request.store_ids).encode(), digest_size=16).hexdigest()
    return stores + (orjson.dumps(further).decode() if further else "")


def encode_request(request: ReportRequestRecord) -> bytes:
    """Write a `report-requests` record."""
    content: dict[str, Any] = {"report_id": request.report_id}
    match request:
        case ReportRequest():
            content["store_id"] = request.store_id
            content |= _details_content(request.details)
        case FleetPartRequest():
            content |= {"part": request.part, "parts": request.parts}
    if not isinstance(request, ReportRequest):
        if request.store_ids is None:
            content["scope"] = FLEET
        else:
            content["store_ids"] = request.store_ids
    if request.requested_at is not None:
        content["requested_at"] = format_instant(request.requested_at)
    return orjson.dumps(content | time_content(request.reference_time, request.spec))


def decode_request(value: bytes | None) -> ReportRequestRecord:
    """Read a `report-requests` record; its stores are in `store_id`, `store_ids` or `scope`.

    Raises:
        RecordError: the record is not a valid request.
    """
    content = object_of(value)
    field_of(content, "report_id")
    named = [name for name in ("store_id", "store_ids", "scope") if name in content]
    if len(named) != 1:
        raise RecordError(
            f"{' and '.join(named)}: only one of them may be there"
            if named
            else "store_id is missing"
        )
    if named == ["store_id"]:
        store = validate(StoreReportRequest, content)
        return ReportRequest(
            store["report_id"],
            store["store_id"],
            reference_time_of(store),
            store.get("requested_at"),
            spec_of(store),
            store.get("details", ()),
        )
    if "part" in content:
        return _decode_part(content)
    if "parts" in content:
        raise RecordError("part is missing")
    fleet: Any = validate(
        FleetReportRequest if named == ["scope"] else StoresReportRequest, content
    )
    return FleetRequest(
        fleet["report_id"],
        fleet.get("store_ids"),
        reference_time_of(fleet),
        fleet.get("requested_at"),
        spec_of(fleet),
    )


def _decode_part(content: dict[str, Any]) -> FleetPartRequest:
    if content.get("reference_time") is None or content.get("requested_at") is None:
        raise RecordError("a part without reference_time or requested_at")
    part = validate(PartRequest, content)
    return FleetPartRequest(
        part["report_id"],
        part["part"],
        part["parts"],
        part["reference_time"],
        part["requested_at"],
        part.get("store_ids"),
        spec_of(part),
    )


def report_id_of(value: bytes | None) -> str | None:
    """Return the report id of a rejected request, whose report fails; None if it has no id."""
    try:
        return parse_uuid(field_of(own_object_of(value), "report_id"), "report_id")
    except RecordError:
        return None


def reference_time_of(fields: Any) -> int | None:
    """Return the end of the time range of a request, from its parsed fields.

    Raises:
        RecordError: both `reference_time` and `end` have a value.
    """
    reference_time: int | None = fields.get("reference_time")
    end: int | None = fields.get("end")
    if reference_time is not None and end is not None:
        raise RecordError("end and reference_time: they mean the same, say one")
    return end if reference_time is None else reference_time


def parse_spec(content: dict[str, Any]) -> ReportSpec:
    """Parse the spec of the requested report.

    Raises:
        RecordError: a field is not valid, or two contradict each other.
    """
    return spec_of(validate(FigureChoice, content))


def spec_of(fields: Any) -> ReportSpec:
    """Return the spec of a request, from its parsed fields.

    Raises:
        RecordError: two of the fields contradict each other.
    """
    start, duration = fields.get("start"), fields.get("duration")
    if start is not None and duration is not None:
        raise RecordError("start and duration: only one of them may be there")
    return ReportSpec(start, duration, fields.get("daily", False), fields.get("exact", False))


def time_content(reference_time: int | None, spec: ReportSpec) -> dict[str, Any]:
    """Return the fields of a request that define the time range and the figures of its report."""
    if reference_time is None:
        return _spec_content(spec)
    return {"reference_time": format_instant(reference_time), **_spec_content(spec)}


def _spec_content(spec: ReportSpec) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if spec.start is not None:
        content["start"] = format_instant(spec.start)
    if spec.duration is not None:
        content["duration"] = format_iso_duration(spec.duration)
    return content | {name: True for name in ("daily", "exact") if getattr(spec, name)}


def _details_content(details: tuple[Include, ...]) -> dict[str, Any]:
    return {"details": details} if details else {}
