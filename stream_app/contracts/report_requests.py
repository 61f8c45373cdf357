"""Report requests on the wire.

The same record asks for a report, on `report-requests`, and for an answer that nobody fetches
later, on `store-queries`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final, Literal, get_args

import orjson

from stream_app.contracts.fields import (
    count_of,
    field_of,
    known_fields_only,
    object_of,
    own_object_of,
    parse_uuid,
    shown,
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
"""Stores that one request may name: more do not fit a record."""

FLEET: Final = "fleet"
"""The scope of a request for all stores."""

Detail = Literal["windows", "timeline", "days", "incidents", "last_poll"]
DETAILS: Final[tuple[Detail, ...]] = get_args(Detail)


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What somebody wants to know of one store.

    Attributes:
        report_id: chosen by who asks; asking twice with one id asks once.
        store_id: the store.
        reference_time: µs; None: by the reference clock of the deployment.
        requested_at: µs; None: when the broker took the record. Kept when a request is passed
            on to another partition or worker, so that its deadline stays.
        form: which figures.
        details: what is told besides them.
    """

    report_id: str
    store_id: str
    reference_time: int | None = None
    requested_at: int | None = None
    form: ReportSpec = field(default_factory=ReportSpec)
    details: tuple[Detail, ...] = ()

    @property
    def key(self) -> str:
        """The key of its record, which is the store's."""
        return self.store_id


@dataclass(frozen=True, slots=True)
class FleetRequest:
    """What somebody wants to know of many stores.

    Attributes:
        report_id: as for one store.
        store_ids: sorted, each once; None: all that there are.
        reference_time: as for one store.
        requested_at: as for one store.
        form: as for one store.
    """

    report_id: str
    store_ids: tuple[str, ...] | None = None
    reference_time: int | None = None
    requested_at: int | None = None
    form: ReportSpec = field(default_factory=ReportSpec)

    @property
    def key(self) -> str:
        """The key of its record: any partition's owner can take it."""
        return self.report_id


@dataclass(frozen=True, slots=True)
class PartRequest:
    """What the worker that took a `FleetRequest` asks of one partition's owner.

    Attributes:
        report_id: of the whole report.
        part: the partition.
        parts: how many parts the report has.
        reference_time: µs, the same for all parts.
        requested_at: µs, when the report was asked for.
        store_ids: those of the partition, sorted; None: all that there are.
        form: as for one store.
    """

    report_id: str
    part: int
    parts: int
    reference_time: int
    requested_at: int
    store_ids: tuple[str, ...] | None = None
    form: ReportSpec = field(default_factory=ReportSpec)

    @property
    def key(self) -> str:
        """The key of its record; the partition is the part's."""
        return self.report_id


WholeRequest = ReportRequest | FleetRequest
"""What somebody asks for."""

AnyRequest = WholeRequest | PartRequest
"""What a worker is asked for."""


def asked_at(request: AnyRequest, taken: int) -> int:
    """When a report was first asked for, µs; nobody can put its deadline off.

    Args:
        request: the request.
        taken: when the broker took this record of it.
    """
    return taken if request.requested_at is None else min(request.requested_at, taken)


def asked_again(request: AnyRequest, taken: int) -> AnyRequest:
    """The same request for another partition or worker, with its deadline as it is."""
    return replace(request, requested_at=asked_at(request, taken))


def subject_of(request: AnyRequest) -> str:
    """What a request is about, to tell whether two are about the same."""
    if isinstance(request, ReportRequest):
        stores = request.store_id
        further = _form_content(request.form) | _details_content(request.details)
    else:
        further = _form_content(request.form)
        stores = FLEET
        if request.store_ids is not None:
            stores = blake2b("".join(request.store_ids).encode(), digest_size=16).hexdigest()
    return stores + (orjson.dumps(further).decode() if further else "")


def encode_request(request: AnyRequest) -> bytes:
    """Write a `report-requests` record."""
    content: dict[str, Any] = {"report_id": request.report_id}
    match request:
        case ReportRequest():
            content["store_id"] = request.store_id
            content |= _details_content(request.details)
        case PartRequest():
            content |= {"part": request.part, "parts": request.parts}
    if not isinstance(request, ReportRequest):
        if request.store_ids is None:
            content["scope"] = FLEET
        else:
            content["store_ids"] = request.store_ids
    if request.requested_at is not None:
        content["requested_at"] = format_instant(request.requested_at)
    return orjson.dumps(content | time_content(request.reference_time, request.form))


def decode_request(value: bytes | None) -> AnyRequest:
    """Read a `report-requests` record: `store_id`, `store_ids` or `scope` say of which stores.

    Raises:
        RecordError: it cannot be used.
    """
    content = object_of(value)
    report_id = parse_uuid(field_of(content, "report_id"), "report_id")
    reference_time = reference_in(content)
    requested_at = _optional_instant(content, "requested_at")
    form = form_in(content)
    named = [name for name in ("store_id", "store_ids", "scope") if name in content]
    if len(named) != 1:
        told = " and ".join(named)
        raise RecordError(
            f"{told}: only one of them may be there" if told else "store_id is missing"
        )
    further = ("details",) if named == ["store_id"] else ("part", "parts")
    known_fields_only(content, *_FIELDS, *named, *further)
    if named == ["store_id"]:
        store_id = parse_uuid(content["store_id"])
        return ReportRequest(
            report_id, store_id, reference_time, requested_at, form, _details_in(content)
        )
    if named == ["scope"] and content["scope"] != FLEET:
        raise RecordError(f"scope is not {FLEET!r}: {shown(content['scope'])}")
    store_ids = stores_named(content["store_ids"]) if named == ["store_ids"] else None
    if "part" not in content:
        if "parts" in content:
            raise RecordError("part is missing")
        return FleetRequest(report_id, store_ids, reference_time, requested_at, form)
    if reference_time is None or requested_at is None:
        raise RecordError("a part without reference_time or requested_at")
    part, parts = count_of(content, "part", 0), count_of(content, "parts", 1)
    return PartRequest(report_id, part, parts, reference_time, requested_at, store_ids, form)


def stores_named(content: object) -> tuple[str, ...]:
    """The stores that a request names, sorted and each once.

    Raises:
        RecordError: not a list of ids, or too many, or none.
    """
    if not isinstance(content, list):
        raise RecordError(f"store_ids is not a list but {type(content).__name__}")
    if not 0 < len(content) <= MAX_STORES_NAMED:
        raise RecordError(f"store_ids names {len(content)} stores, not 1 to {MAX_STORES_NAMED:,}")
    return tuple(sorted({parse_uuid(store_id) for store_id in content}))


def report_id_of(value: bytes | None) -> str | None:
    """The report id of a request that cannot be used otherwise, so that it can be failed."""
    try:
        return parse_uuid(field_of(own_object_of(value), "report_id"), "report_id")
    except RecordError:
        return None


def _optional_instant(content: dict[str, Any], name: str) -> int | None:
    text = content.get(name)
    if text is None:
        return None
    try:
        return parse_instant(text)
    except RecordError as error:
        raise RecordError(f"{name}: {error}") from None


def reference_in(content: dict[str, Any]) -> int | None:
    """The reference time that a request names, which is the end of the time that it asks for.

    Raises:
        RecordError: it is not an instant, or both names have one.
    """
    reference_time = _optional_instant(content, "reference_time")
    end = _optional_instant(content, "end")
    if reference_time is not None and end is not None:
        raise RecordError("end and reference_time: they mean the same, say one")
    return end if reference_time is None else reference_time


FORM_FIELDS: Final = ("start", "duration", "daily", "exact")
"""The fields of a request that say which figures it wants."""

_FIELDS: Final = ("report_id", "reference_time", "end", *FORM_FIELDS, "requested_at")
"""The fields that every request may have."""


def form_in(content: dict[str, Any]) -> ReportSpec:
    """The form that a request asks for.

    Raises:
        RecordError: a field cannot be used, or two contradict each other.
    """
    start = _optional_instant(content, "start")
    duration = None
    if content.get("duration") is not None:
        if start is not None:
            raise RecordError("start and duration: only one of them may be there")
        duration = parse_iso_duration(content["duration"])
    return ReportSpec(start, duration, _flag(content, "daily"), _flag(content, "exact"))


def time_content(reference_time: int | None, form: ReportSpec) -> dict[str, Any]:
    """The fields of a request that say of what time it is, and in which form."""
    if reference_time is None:
        return _form_content(form)
    return {"reference_time": format_instant(reference_time), **_form_content(form)}


def _flag(content: dict[str, Any], name: str) -> bool:
    flag = content.get(name)
    if not isinstance(flag, bool | None):
        raise RecordError(f"{name} is not true or false: {shown(flag)}")
    return bool(flag)


def _form_content(form: ReportSpec) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if form.start is not None:
        content["start"] = format_instant(form.start)
    if form.duration is not None:
        content["duration"] = format_iso_duration(form.duration)
    return content | {name: True for name in ("daily", "exact") if getattr(form, name)}


def _details_in(content: dict[str, Any]) -> tuple[Detail, ...]:
    told = content.get("details")
    if told is None:
        return ()
    if not isinstance(told, list) or any(detail not in DETAILS for detail in told):
        raise RecordError(f"details are not of {', '.join(DETAILS)}: {shown(told)}")
    return tuple(detail for detail in DETAILS if detail in told)


def _details_content(details: tuple[Detail, ...]) -> dict[str, Any]:
    return {"details": details} if details else {}
