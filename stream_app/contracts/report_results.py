"""Results of reports on the wire.

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

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import orjson

from stream_app.contracts.fields import count_of, field_of, own_object_of, parse_uuid, shown
from stream_app.contracts.report_fields import (
    check_basis,
    check_lost_input,
    check_names,
    check_offsets,
    check_report,
    check_rows,
)
from stream_app.domain.report import CSV_HEADER, csv_text
from stream_app.domain.timestamps import format_instant, parse_instant
from stream_app.domain.timezones import TZDATA_VERSION
from stream_app.durations import format_duration
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_app.domain.report_spec import ReportRow, ReportSpec
    from stream_app.settings import Settings

Status = Literal["pending", "running", "complete", "failed"]
FINAL: Final = frozenset({"complete", "failed"})
_WRITTEN: Final = frozenset({"running", "complete", "failed"})

Row = list[Any]
"""Of a report of many stores: the values of its columns, and of its further fields."""

FURTHER_FIELDS: Final = (
    "timezone",
    "hours_version",
    "polls_counted",
    "coverage",
    "unknown_timezone",
)
"""What a row says in every form besides the columns of the CSV; see `further_fields`."""

FIRST_FURTHER_FIELDS: Final = ("timezone", "polls_counted")
"""Of records that do not name theirs."""


def further_fields(form: ReportSpec) -> tuple[str, ...]:
    """What a row says besides the columns of the CSV, with how much of each figure is unknown."""
    return (*FURTHER_FIELDS, *form.unknown_columns)


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
        basis: what all figures rest on: the settings that count, and the time zone tables.
        input_offsets: of each source topic, the offset below which this partition was applied.
        columns: names of a row's first values, which the CSV has.
        further: names of its other ones.
        lost_input: source records of this partition that the log had lost before they were
            applied, as `LostRange.describe` tells them.
    """

    part: int
    parts: int
    attempt: str
    piece: int
    pieces: int
    reference_time: int
    rows: Sequence[Row]
    basis: dict[str, Any]
    input_offsets: dict[str, int]
    columns: tuple[str, ...] = CSV_HEADER
    further: tuple[str, ...] = FURTHER_FIELDS
    lost_input: Sequence[dict[str, Any]] = ()


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
            "basis": piece.basis,
            "input_offsets": piece.input_offsets,
            "columns": piece.columns,
            "further": piece.further,
            "rows": piece.rows,
        }
        if piece.lost_input:
            content["piece"]["lost_input"] = piece.lost_input
    return orjson.dumps(content)


def decode_event(value: bytes | None) -> ReportEvent:
    """Read a `report-results` record.

    Raises:
        RecordError: it cannot be used.
    """
    content = own_object_of(value)
    status = field_of(content, "status")
    if not isinstance(status, str) or status not in _WRITTEN:
        raise RecordError(f"not a report status: {shown(status)}")
    reason = content.get("reason")
    if not isinstance(reason, str | None):
        raise RecordError(f"reason is not a text but {type(reason).__name__}")
    report = content.get("report")
    if status == "complete" or report is not None:
        if not isinstance(report, dict):
            raise RecordError(f"report is not an object but {type(report).__name__}")
        _check_columns(report)
        lost_input_in(report)
    return ReportEvent(
        report_id=parse_uuid(field_of(content, "report_id"), "report_id"),
        status=cast("Status", status),
        at=parse_instant(field_of(content, "at")),
        reason=reason,
        report=report,
        piece=_piece_in(content),
    )


def _check_columns(report: dict[str, Any]) -> None:
    """Refuse what nobody could answer: it would stand in the way of the true one."""
    columns = names_in(report, "columns", CSV_HEADER)
    check_names(columns)
    rows = report.get("days", [report])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RecordError("days are not a list of objects")
    for row in rows:
        missing = [column for column in columns if column not in row and column not in report]
        if missing:
            raise RecordError(f"a report without {missing[0]}")
    check_report(report, columns)


def names_in(content: dict[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """Names that a record lists; those of a record before it did so where there are none.

    Raises:
        RecordError: they are not texts.
    """
    names = content.get(name)
    if names is None:
        return default
    if not isinstance(names, list | tuple) or not all(isinstance(text, str) for text in names):
        raise RecordError(f"{name} is not a list of names")
    return tuple(names)


def _piece_in(content: dict[str, Any]) -> Piece | None:
    piece = content.get("piece")
    if piece is None:
        return None
    if not isinstance(piece, dict):
        raise RecordError(f"piece is not an object but {type(piece).__name__}")
    columns = names_in(piece, "columns", CSV_HEADER)
    further = names_in(piece, "further", FIRST_FURTHER_FIELDS)
    rows = field_of(piece, "rows")
    check_rows(rows, (*columns, *further))
    attempt = field_of(piece, "attempt")
    if not isinstance(attempt, str):
        raise RecordError("attempt is not a text")
    return Piece(
        part=count_of(piece, "part", 0),
        parts=count_of(piece, "parts", 1),
        attempt=attempt,
        piece=count_of(piece, "piece", 0),
        pieces=count_of(piece, "pieces", 1),
        reference_time=parse_instant(field_of(piece, "reference_time")),
        rows=rows,
        basis=_basis_in(piece),
        input_offsets=_offsets_in(piece),
        columns=columns,
        further=further,
        lost_input=tuple(lost_input_in(piece)),
    )


def _basis_in(piece: dict[str, Any]) -> dict[str, Any]:
    if "basis" not in piece:
        # of a worker that told less
        piece = {"basis": {name: field_of(piece, name) for name in ("lookback", "default_status")}}
    basis = piece["basis"]
    check_basis(basis)
    return cast("dict[str, Any]", basis)


def _offsets_in(piece: dict[str, Any]) -> dict[str, int]:
    offsets = piece.get("input_offsets", {})
    check_offsets(offsets)
    return cast("dict[str, int]", offsets)


def lost_input_in(content: dict[str, Any]) -> list[dict[str, Any]]:
    """What a report or a part of one says of lost source records; mostly nothing.

    Raises:
        RecordError: it is not a list of such ranges.
    """
    lost = content.get("lost_input", [])
    check_lost_input(lost)
    return cast("list[dict[str, Any]]", lost)


@dataclass(frozen=True, slots=True)
class StoreBasis:
    """What the figures of one store rest on besides its polls.

    Attributes:
        timezone: the zone that counts, of the store or the default one.
        business_hours: its rows; None: it is always open.
        hours_version: a digest of them.
        unknown_timezone: the name that the store was given, where there is no such zone and the
            default one applies.
    """

    timezone: str
    business_hours: Sequence[Sequence[Any]] | None
    hours_version: str
    unknown_timezone: str | None = None


def basis_of(settings: Settings) -> dict[str, Any]:
    """What the figures of all stores rest on."""
    return {
        "lookback": format_duration(settings.lookback),
        "default_status": settings.default_status,
        "stale_after": format_duration(settings.stale_after),
        "tzdata_version": TZDATA_VERSION,
    }


def report_content(
    form: ReportSpec,
    rows: Sequence[ReportRow],
    reference: int,
    store: StoreBasis,
    basis: dict[str, Any],
    input_offsets: dict[str, dict[str, int]],
    whole: ReportRow,
) -> dict[str, Any]:
    """The `report` of a complete event: the figures of one store and what they rest on.

    Args:
        form: what was asked for.
        rows: as `build_rows` gives them.
        reference: the reference time, µs.
        store: of the store.
        basis: of all stores.
        input_offsets: by source topic and partition.
        whole: polls and coverage of the whole time.
    """
    columns = form.columns
    content: dict[str, Any] = {
        "store_id": rows[0].values[0],
        "reference_time": format_instant(reference),
    }
    if form.daily:
        content["days"] = [
            dict(zip(columns[1:], row.values[1:], strict=True))
            | {"polls_counted": row.polls_counted, "coverage": row.coverage}
            | dict(zip(form.unknown_columns, row.unknown, strict=False))
            for row in rows
        ]
    else:
        content |= dict(zip(columns, rows[0].values, strict=True))
        content |= dict(zip(form.unknown_columns, rows[0].unknown, strict=False))
    if store.unknown_timezone is not None:
        content["unknown_timezone"] = store.unknown_timezone
    return content | {
        "timezone": store.timezone,
        "business_hours": store.business_hours,
        "hours_version": store.hours_version,
        **basis,
        "polls_counted": whole.polls_counted,
        "coverage": whole.coverage,
        "input_offsets": input_offsets,
        "columns": columns,
    }


def report_rows(rows: Iterable[ReportRow], store: StoreBasis) -> list[Row]:
    """A store's rows in a report of many: its columns, then `further_fields`."""
    return [
        [
            *row.values,
            store.timezone,
            store.hours_version,
            row.polls_counted,
            row.coverage,
            store.unknown_timezone,
            *row.unknown,
        ]
        for row in rows
    ]


def content_rows(content: dict[str, Any]) -> tuple[tuple[str, ...], list[Row]]:
    """The columns and the rows that the CSV of a `report` has."""
    columns = names_in(content, "columns", CSV_HEADER)
    return columns, [[row[column] for column in columns] for row in objects_of(content)]


def objects_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a `report`: itself, or of a daily one itself with each of its days."""
    return [content | day for day in content["days"]] if "days" in content else [content]


def report_csv(reports: Iterable[dict[str, Any]]) -> str:
    r"""The CSV of `report` contents of one form: a header row, then rows, each ended by `\n`."""
    columns: tuple[str, ...] = CSV_HEADER
    rows: list[Row] = []
    for report in reports:
        columns, of_store = content_rows(report)
        rows += of_store
    return csv_text(rows, columns)
