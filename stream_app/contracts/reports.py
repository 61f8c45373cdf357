"""Report requests and results on the wire.

A report is pending once its request is in `report-requests`. Its further life is in
`report-results`: `running`, then `complete` or `failed`. The first final status in the
topic's order is the one that counts; a redelivered request may add another one later,
and every reader ignores it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import orjson

from stream_app.contracts.records import field_of, object_of, parse_uuid, shown
from stream_app.domain.instants import format_instant, parse_instant
from stream_app.domain.report import CSV_HEADER, FIGURE_NAMES, csv_text
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.domain.report import StoreReport

Status = Literal["pending", "running", "complete", "failed"]
FINAL: Final = frozenset({"complete", "failed"})
_WRITTEN: Final = frozenset({"running", "complete", "failed"})


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What somebody wants to know.

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

    def asked_at(self, taken: int) -> int:
        """When it was first asked for, µs; nobody can put its deadline off.

        Args:
            taken: when the broker took this record of it.
        """
        return taken if self.requested_at is None else min(self.requested_at, taken)


def encode_request(request: ReportRequest) -> bytes:
    """Write a `report-requests` record."""
    content: dict[str, Any] = {"report_id": request.report_id, "store_id": request.store_id}
    if request.reference_time is not None:
        content["reference_time"] = format_instant(request.reference_time)
    if request.requested_at is not None:
        content["requested_at"] = format_instant(request.requested_at)
    return orjson.dumps(content)


def decode_request(value: bytes | None) -> ReportRequest:
    """Read a `report-requests` record.

    Raises:
        RecordError: it cannot be used.
    """
    content = object_of(value)
    return ReportRequest(
        report_id=parse_uuid(field_of(content, "report_id"), "report_id"),
        store_id=parse_uuid(field_of(content, "store_id")),
        reference_time=_optional_instant(content, "reference_time"),
        requested_at=_optional_instant(content, "requested_at"),
    )


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


@dataclass(frozen=True, slots=True)
class ReportEvent:
    """One status change of a report.

    Attributes:
        report_id: the report.
        status: running, complete or failed.
        at: µs, when it was written.
        reason: why it failed, one line.
        report: the figures and what they rest on, as `GET /get_report` answers them in JSON.
    """

    report_id: str
    status: Status
    at: int
    reason: str | None = None
    report: dict[str, Any] | None = None


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


def report_csv(reports: Iterable[dict[str, Any]]) -> str:
    r"""The CSV of `report` contents: a header row, then a row a store, each ended by `\n`."""
    return csv_text([report[column] for column in CSV_HEADER] for report in reports)
