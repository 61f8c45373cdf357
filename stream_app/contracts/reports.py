"""Report requests and results on the wire.

A report is pending once its request is in `report-requests`. Its further life is in
`report-results`: `running`, then `complete` or `failed`. The first final status in the
topic's order is the one that counts; a redelivered request may add another one later,
and every reader ignores it.

A report of many stores is made in parts, one a partition: the worker that takes the request
asks every partition's owner for a part, all of one reference time, and the parts' rows come as
`running` events with a piece each. The report is complete with the piece that completes, in the
topic's order, the first set of all parts of one reference time. See docs/design/fleet-report.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import orjson

from stream_app.contracts.records import field_of, object_of, parse_uuid, shown
from stream_app.domain.instants import format_instant, parse_instant
from stream_app.domain.report import CSV_HEADER, FIGURE_NAMES, csv_text
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_app.domain.report import StoreReport

Status = Literal["pending", "running", "complete", "failed"]
FINAL: Final = frozenset({"complete", "failed"})
_WRITTEN: Final = frozenset({"running", "complete", "failed"})

MAX_STORES_NAMED: Final = 10_000
"""Stores that one request may name: more do not fit a record."""

FLEET: Final = "fleet"
"""The scope of a request for all stores."""


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What somebody wants to know of one store.

    Attributes:
        report_id: chosen by who asks; asking twice with one id asks once.
        store_id: the store.
        reference_time: µs; None: by the reference clock of the deployment.
        requested_at: µs; None: when the broker took the record. Kept when a request is passed
            on to another partition or worker, so that its deadline stays.
    """

    report_id: str
    store_id: str
    reference_time: int | None = None
    requested_at: int | None = None

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
    """

    report_id: str
    store_ids: tuple[str, ...] | None = None
    reference_time: int | None = None
    requested_at: int | None = None

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
    """

    report_id: str
    part: int
    parts: int
    reference_time: int
    requested_at: int
    store_ids: tuple[str, ...] | None = None

    @property
    def key(self) -> str:
        """The key of its record; the partition is the part's."""
        return self.report_id


AnyRequest = ReportRequest | FleetRequest | PartRequest


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
        return request.store_id
    if request.store_ids is None:
        return FLEET
    return blake2b("".join(request.store_ids).encode(), digest_size=16).hexdigest()


def encode_request(request: AnyRequest) -> bytes:
    """Write a `report-requests` record."""
    content: dict[str, Any] = {"report_id": request.report_id}
    match request:
        case ReportRequest():
            content["store_id"] = request.store_id
        case PartRequest():
            content |= {"part": request.part, "parts": request.parts}
    if not isinstance(request, ReportRequest):
        if request.store_ids is None:
            content["scope"] = FLEET
        else:
            content["store_ids"] = request.store_ids
    if request.reference_time is not None:
        content["reference_time"] = format_instant(request.reference_time)
    if request.requested_at is not None:
        content["requested_at"] = format_instant(request.requested_at)
    return orjson.dumps(content)


def decode_request(value: bytes | None) -> AnyRequest:
    """Read a `report-requests` record: `store_id`, `store_ids` or `scope` say of which stores.

    Raises:
        RecordError: it cannot be used.
    """
    content = object_of(value)
    report_id = parse_uuid(field_of(content, "report_id"), "report_id")
    reference_time = _optional_instant(content, "reference_time")
    requested_at = _optional_instant(content, "requested_at")
    named = [name for name in ("store_id", "store_ids", "scope") if name in content]
    if len(named) != 1:
        told = " and ".join(named)
        raise RecordError(
            f"{told}: only one of them may be there" if told else "store_id is missing"
        )
    if named == ["store_id"]:
        store_id = parse_uuid(content["store_id"])
        return ReportRequest(report_id, store_id, reference_time, requested_at)
    if named == ["scope"] and content["scope"] != FLEET:
        raise RecordError(f"scope is not {FLEET!r}: {shown(content['scope'])}")
    store_ids = stores_named(content["store_ids"]) if named == ["store_ids"] else None
    if "part" not in content:
        return FleetRequest(report_id, store_ids, reference_time, requested_at)
    if reference_time is None or requested_at is None:
        raise RecordError("a part without reference_time or requested_at")
    part, parts = _count(content, "part", 0), _count(content, "parts", 1)
    return PartRequest(report_id, part, parts, reference_time, requested_at, store_ids)


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


def _count(content: dict[str, Any], name: str, least: int) -> int:
    count = field_of(content, name)
    if type(count) is not int or count < least:
        raise RecordError(f"{name} is not a number from {least} on: {shown(count)}")
    return count


def report_id_of(value: bytes | None) -> str | None:
    """The report id of a request that cannot be used otherwise, so that it can be failed."""
    try:
        return parse_uuid(field_of(object_of(value), "report_id"), "report_id")
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


Row = list[Any]
"""Of a report of many stores: its values in the order of `ROW_FIELDS`."""

ROW_FIELDS: Final = (*CSV_HEADER, "timezone", "polls_counted")


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one part of a report.

    Attributes:
        part: the partition.
        parts: how many parts the report has.
        attempt: which making of the part: one that was made again may have other rows, and its
            pieces go with no others.
        piece: from 0.
        pieces: of this attempt.
        reference_time: µs.
        rows: in the order of store ids, which pieces carry on.
        lookback: as the settings write it.
        default_status: active or inactive.
    """

    part: int
    parts: int
    attempt: str
    piece: int
    pieces: int
    reference_time: int
    rows: Sequence[Row]
    lookback: str
    default_status: str


def event_key(event: ReportEvent) -> bytes:
    """The key of a `report-results` record; of a piece one that no other record has.

    Its partition is that of the report id alone, so that all events of a report have one order.
    """
    if event.piece is None:
        return event.report_id.encode()
    piece = event.piece
    return f"{event.report_id}/{piece.part}/{piece.attempt}/{piece.piece}".encode()


@dataclass(frozen=True, slots=True)
class ReportEvent:
    """One status change of a report.

    Attributes:
        report_id: the report.
        status: running, complete or failed.
        at: µs, when it was written.
        reason: why it failed, one line.
        report: the figures and what they rest on, as `GET /get_report` answers them in JSON.
        piece: rows of a report of many stores, which is running until the last one of them.
    """

    report_id: str
    status: Status
    at: int
    reason: str | None = None
    report: dict[str, Any] | None = None
    piece: Piece | None = None


def encode_event(event: ReportEvent) -> bytes:
    """Write a `report-results` record."""
    content: dict[str, Any] = {
        "report_id": event.report_id,
        "status": event.status,
        "at": format_instant(event.at),
    }
    if event.reason is not None:
        content["reason"] = event.reason
    if event.report is not None:
        content["report"] = event.report
    if event.piece is not None:
        piece = event.piece
        content["piece"] = {
            "part": piece.part,
            "parts": piece.parts,
            "attempt": piece.attempt,
            "piece": piece.piece,
            "pieces": piece.pieces,
            "reference_time": format_instant(piece.reference_time),
            "lookback": piece.lookback,
            "default_status": piece.default_status,
            "rows": piece.rows,
        }
    return orjson.dumps(content)


def decode_event(value: bytes | None) -> ReportEvent:
    """Read a `report-results` record.

    Raises:
        RecordError: it cannot be used.
    """
    content = object_of(value)
    status = field_of(content, "status")
    if not isinstance(status, str) or status not in _WRITTEN:
        raise RecordError(f"not a report status: {shown(status)}")
    reason = content.get("reason")
    if not isinstance(reason, str | None):
        raise RecordError(f"reason is not a text but {type(reason).__name__}")
    report = content.get("report")
    if isinstance(report, dict) and (missing := [c for c in CSV_HEADER if c not in report]):
        # nobody could answer it, and it would stand in the way of the true one
        raise RecordError(f"a report without {missing[0]}")
    return ReportEvent(
        report_id=parse_uuid(field_of(content, "report_id"), "report_id"),
        status=cast("Status", status),
        at=parse_instant(field_of(content, "at")),
        reason=reason,
        report=report if isinstance(report, dict) else None,
        piece=_piece_in(content),
    )


def _piece_in(content: dict[str, Any]) -> Piece | None:
    piece = content.get("piece")
    if piece is None:
        return None
    if not isinstance(piece, dict):
        raise RecordError(f"piece is not an object but {type(piece).__name__}")
    rows = field_of(piece, "rows")
    if not isinstance(rows, list) or any(
        not isinstance(row, list) or len(row) != len(ROW_FIELDS) or not isinstance(row[0], str)
        for row in rows
    ):
        raise RecordError("rows are not lists of a store id, its figures and what they rest on")
    texts = [field_of(piece, name) for name in ("attempt", "lookback", "default_status")]
    if not all(isinstance(text, str) for text in texts):
        raise RecordError("attempt, lookback or default_status is not a text")
    attempt, lookback, default_status = texts
    number, pieces = _count(piece, "piece", 0), _count(piece, "pieces", 1)
    return Piece(
        part=_count(piece, "part", 0),
        parts=_count(piece, "parts", 1),
        attempt=attempt,
        piece=number,
        pieces=pieces,
        reference_time=parse_instant(field_of(piece, "reference_time")),
        rows=rows,
        lookback=lookback,
        default_status=default_status,
    )


def report_content(
    report: StoreReport,
    *,
    timezone: str,
    lookback: str,
    default_status: str,
    polls_counted: int,
) -> dict[str, Any]:
    """The `report` of a complete event: the figures and what they rest on."""
    return {
        "store_id": report.store_id,
        "reference_time": format_instant(report.reference),
        **{name: getattr(report, name) for name in FIGURE_NAMES},
        "timezone": timezone,
        "lookback": lookback,
        "default_status": default_status,
        "polls_counted": polls_counted,
    }


def report_row(report: StoreReport, timezone: str, polls_counted: int) -> Row:
    """A store's row in a report of many, as `ROW_FIELDS` names its values."""
    return [*(getattr(report, name) for name in CSV_HEADER), timezone, polls_counted]


def report_csv(reports: Iterable[dict[str, Any]]) -> str:
    r"""The CSV of `report` contents: a header row, then a row a store, each ended by `\n`."""
    return csv_text([report[column] for column in CSV_HEADER] for report in reports)
