"""Results of reports on the wire.

A report is pending once its request is in `report-requests`. Its later statuses are in
`report-results`: `running`, then `complete` or `failed`. The first final status in the
topic's order is the one that counts; a redelivered request may add another one later,
and every reader ignores it.

A report of many stores is made in parts, one for each partition: the worker that reads the
request asks the owner of every partition for its part, all of one reference time, and the rows
of a part come as `running` events with a chunk each. The report is complete with the chunk that
completes, in the topic's order, the first set of all parts of one reference time. See
docs/design/fleet-report.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import orjson

from stream_app.contracts.fields import field_of, parse_own_record
from stream_app.contracts.report_schemas import AnyReportEvent
from stream_app.contracts.report_validation import (
    validate_piece_head,
    validate_report,
    validate_rows,
    validate_settings,
)
from stream_app.domain.report import CSV_HEADER
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import format_instant, parse_instant
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Status = Literal["pending", "running", "complete", "failed"]
FINAL: Final = frozenset({"complete", "failed"})

Row = list[Any]
"""A row of a report of many stores: the values of its columns and of its extra columns."""

MAX_INTERVALS: Final = 5_000
"""Most intervals of one timeline, as many as fit a record."""

MAX_INCIDENTS: Final = 2_000
"""Most incidents of one report, the newest ones."""

EXTRA_COLUMNS: Final = (
    "timezone",
    "hours_version",
    "polls_counted",
    "coverage",
    "unknown_timezone",
)
"""Values that a row of a report of many stores has in every form besides the columns of the CSV.
The unknown part of each figure comes after them."""

FIRST_EXTRA_COLUMNS: Final = ("timezone", "polls_counted")
"""The extra columns of records that do not name theirs."""

PROVENANCE: Final = (
    "reference_time",
    "lookback",
    "default_status",
    "stale_after",
    "timezone",
    "unknown_timezone",
    "hours_version",
    "tzdata_version",
    "polls_counted",
    "coverage",
)
"""Fields of a report that say what its figures were computed from, in the order of the headers.
`input_offsets` and `lost_input`, which have a form of their own in headers, belong to them too."""


@dataclass(frozen=True, slots=True)
class ReportDocument:
    """A complete report, as it is from the worker to the commands.

    A report of one store has its figures in its fields. One of many stores has only the provenance
    that all rows share; its rows come in `ResultChunk`s, and in an answer of the API as `reports`.

    Attributes:
        fields: the JSON form, as `GET /get_report` answers it.
        columns: the names of a row's values in the CSV.
        extra_columns: the names of a row's further values; none in a report of one store.
    """

    fields: dict[str, Any]
    columns: tuple[str, ...] = CSV_HEADER
    extra_columns: tuple[str, ...] = ()

    @classmethod
    def decode(cls, fields: dict[str, Any]) -> ReportDocument:
        """Read the JSON form; one of an earlier version does not name its columns.

        Raises:
            RecordError: the columns are no names.
        """
        columns = _names_in(fields, "columns", CSV_HEADER)
        if "store_id" in fields:
            return cls(fields, columns)
        return cls(fields, columns, _names_in(fields, "further", FIRST_EXTRA_COLUMNS))

    @property
    def row_fields(self) -> tuple[str, ...]:
        """Return the names of all values of a row of a report of many stores."""
        return (*self.columns, *self.extra_columns)

    @property
    def spec(self) -> ReportSpec:
        """Return the spec of its figures; a custom range has its start instead of a duration.

        Raises:
            RecordError: it has no row, or the row of a custom range has no start.
        """
        spec = ReportSpec.of_columns(self.columns)
        if spec.windows:
            return spec
        rows = self.rows()
        if not rows:
            raise RecordError("a report without rows")
        start = parse_instant(field_of(rows[0], "start"))
        return ReportSpec(start=start, daily=spec.daily, exact=spec.exact)

    @property
    def reference_time(self) -> int:
        """Return the reference time, µs.

        Raises:
            RecordError: it has none.
        """
        return parse_instant(field_of(self.fields, "reference_time"))

    @property
    def provenance(self) -> dict[str, Any]:
        """Return the facts that the figures were computed from, as far as the report has them."""
        names = (*PROVENANCE, "input_offsets", "lost_input")
        return {name: self.fields[name] for name in names if self.fields.get(name) is not None}

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows by the names of their values; a daily row also has the report's."""
        if "store_id" not in self.fields:
            return cast("list[dict[str, Any]]", self.fields.get("reports", []))
        if "days" in self.fields:
            return [self.fields | day for day in self.fields["days"]]
        return [self.fields]

    def csv_rows(self) -> Iterator[Row]:
        """Return the values of the rows in the order of the columns."""
        return ([row[column] for column in self.columns] for row in self.rows())

    def to_json(self, report_id: str) -> dict[str, Any]:
        """Return the answer of `GET /get_report`; the rows of many stores come beside it."""
        # their objects name the values themselves
        fields = {name: value for name, value in self.fields.items() if name != "further"}
        return {"report_id": report_id, "status": "complete", **fields}


@dataclass(frozen=True, slots=True)
class ResultChunk:
    """Rows of one part of a report, in one record.

    Attributes:
        part: the partition.
        parts: how many parts the report has.
        attempt: identifies one calculation of the part; chunks of different attempts, which may
            have different rows, are never put together.
        chunk: the number of the chunk within the attempt, from 0.
        chunks: how many chunks the attempt has.
        reference_time: µs.
        rows: the rows in the order of store ids, within the chunk and from chunk to chunk.
        provenance: the settings and the timezone database that all figures were computed with.
        input_offsets: for each source topic, the offset below which this partition was applied.
        columns: the names of a row's first values, which are in the CSV.
        extra_columns: the names of a row's other values.
        lost_input: source records of this partition that the log had lost before they were
            applied, as `LostRange.describe` gives them.
    """

    part: int
    parts: int
    attempt: str
    chunk: int
    chunks: int
    reference_time: int
    rows: Sequence[Row]
    provenance: dict[str, Any]
    input_offsets: dict[str, int]
    columns: tuple[str, ...] = CSV_HEADER
    extra_columns: tuple[str, ...] = EXTRA_COLUMNS
    lost_input: Sequence[dict[str, Any]] = ()

    def document(
        self, input_offsets: dict[str, dict[str, int]], lost_input: list[dict[str, Any]]
    ) -> ReportDocument:
        """Return the report that this chunk completes, without its rows.

        Args:
            input_offsets: the applied offsets of all parts, by topic and partition.
            lost_input: the lost records of all parts.
        """
        fields: dict[str, Any] = {
            "reference_time": format_instant(self.reference_time),
            **self.provenance,
            "input_offsets": input_offsets,
            "columns": self.columns,
            "further": self.extra_columns,
        }
        if lost_input:
            fields["lost_input"] = lost_input
        return ReportDocument(fields, self.columns, self.extra_columns)


def event_key(event: ReportEvent) -> bytes:
    """Return the key of a `report-results` record; the key of a chunk is its own alone.

    Its partition follows from the report id alone, so that all events of a report have one order.
    """
    if event.chunk is None:
        return event.report_id.encode()
    chunk = event.chunk
    return f"{event.report_id}/{chunk.part}/{chunk.attempt}/{chunk.chunk}".encode()


@dataclass(frozen=True, slots=True)
class ReportEvent:
    """One status change of a report.

    Attributes:
        report_id: the report.
        status: running, complete or failed.
        at: the time at which it was written, µs.
        reason: why the report failed, one line.
        report: the complete report of one store.
        chunk: rows of a report of many stores, which is running until the last chunk.
    """

    report_id: str
    status: Status
    at: int
    reason: str | None = None
    report: ReportDocument | None = None
    chunk: ResultChunk | None = None


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
        content["report"] = event.report.fields
    if event.chunk is not None:
        chunk = event.chunk
        content["piece"] = {
            "part": chunk.part,
            "parts": chunk.parts,
            "attempt": chunk.attempt,
            "piece": chunk.chunk,
            "pieces": chunk.chunks,
            "reference_time": format_instant(chunk.reference_time),
            "basis": chunk.provenance,
            "input_offsets": chunk.input_offsets,
            "columns": chunk.columns,
            "further": chunk.extra_columns,
            "rows": chunk.rows,
        }
        if chunk.lost_input:
            content["piece"]["lost_input"] = chunk.lost_input
    return orjson.dumps(content)


def decode_event(value: bytes | None) -> ReportEvent:
    """Read a `report-results` record.

    Raises:
        RecordError: it cannot be used.
    """
    event = parse_own_record(AnyReportEvent, value)
    report, piece = event.get("report"), event.get("piece")
    document = None
    if report is not None or event["status"] == "complete":
        if report is None:
            raise RecordError("report is missing")
        document = ReportDocument.decode(report)
        validate_report(report, document.columns)
    return ReportEvent(
        report_id=event["report_id"],
        status=event["status"],
        at=event["at"],
        reason=event.get("reason"),
        report=document,
        chunk=None if piece is None else _decode_chunk(piece),
    )


def _names_in(fields: dict[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that a report lists, or the default of earlier versions.

    Raises:
        RecordError: they are not texts.
    """
    names = fields.get(name)
    if names is None:
        return default
    if not isinstance(names, list | tuple) or not all(isinstance(text, str) for text in names):
        raise RecordError(f"{name} is not a list of names")
    return tuple(names)


def _decode_chunk(piece: dict[str, Any]) -> ResultChunk:
    head = validate_piece_head(_EARLY_FIELDS | piece)
    # an earlier version wrote only these two
    early = ("lookback", "default_status")
    settings = (
        piece["basis"] if "basis" in piece else {name: field_of(piece, name) for name in early}
    )
    columns, extra_columns = tuple(head["columns"]), tuple(head["further"])
    validate_settings(settings)
    rows = field_of(piece, "rows")
    validate_rows(rows, (*columns, *extra_columns))
    return ResultChunk(
        part=head["part"],
        parts=head["parts"],
        attempt=head["attempt"],
        chunk=head["piece"],
        chunks=head["pieces"],
        reference_time=head["reference_time"],
        rows=rows,
        provenance=settings,
        input_offsets=head["input_offsets"],
        columns=columns,
        extra_columns=extra_columns,
        lost_input=tuple(dict(lost) for lost in head.get("lost_input", ())),
    )


_EARLY_FIELDS: Final[dict[str, Any]] = {
    "columns": CSV_HEADER,
    "further": FIRST_EXTRA_COLUMNS,
    "input_offsets": {},
}
"""The fields of a chunk that earlier versions did not write, with what they meant."""
