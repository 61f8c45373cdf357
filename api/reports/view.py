"""What became of every report and query, as the topics of requests and results tell it.

A view that is built anew at each start from the topics, which are the truth: so every API
process answers for every report, and a restart forgets none. It lives in a temporary SQLite
file, not in memory, because reports outnumber what a process should hold.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from stream_app.contracts.report_requests import (
    PartRequest,
    asked_at,
    decode_request,
    encode_request,
    subject_of,
)
from stream_app.contracts.report_results import FINAL, decode_event
from stream_app.contracts.topics import QUERY_RESULTS, REPORT_REQUESTS, STORE_QUERIES
from stream_app.domain.timestamps import format_instant
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from stream_app.contracts.report_requests import AnyRequest, WholeRequest
    from stream_app.contracts.report_results import Piece, ReportEvent, Status

log = logging.getLogger(__name__)

_SCHEMA: Final = """
CREATE TABLE report (
    report_id TEXT PRIMARY KEY,
    subject TEXT,
    reference_time INTEGER,
    requested_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    content BLOB,
    parts INTEGER,
    query INTEGER NOT NULL,
    request BLOB
) WITHOUT ROWID;
CREATE INDEX report_open ON report (requested_at) WHERE status IN ('pending', 'running');
CREATE INDEX report_age ON report (requested_at);
-- of reports of many stores: what came, and for each part its first attempt that came whole
CREATE TABLE piece (
    report_id TEXT NOT NULL,
    reference_time INTEGER NOT NULL,
    part INTEGER NOT NULL,
    attempt TEXT NOT NULL,
    piece INTEGER NOT NULL,
    rows BLOB NOT NULL,
    UNIQUE (report_id, reference_time, part, attempt, piece)
);
CREATE TABLE part (
    report_id TEXT NOT NULL,
    reference_time INTEGER NOT NULL,
    part INTEGER NOT NULL,
    attempt TEXT NOT NULL,
    input_offsets BLOB NOT NULL,
    lost_input BLOB NOT NULL,
    PRIMARY KEY (report_id, reference_time, part)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class ReportState:
    """One report as it stands.

    Attributes:
        report_id: the report.
        status: pending, running, complete or failed.
        subject: what it is about, as `subject_of` tells; None where only a result is known.
        reference_time: µs as requested; None: by the reference clock.
        reason: why it failed.
        content: the report of a complete one; of many stores, what their figures rest on. None
            where it is gone.
        parts: of a report of many stores, how many are done, and how many there are; None:
            of one store, or not known yet.
    """

    report_id: str
    status: Status
    subject: str | None
    reference_time: int | None
    reason: str | None
    content: dict[str, Any] | None
    parts: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Pieces:
    """The rows of a report of many stores, read as they are needed, once.

    Attributes:
        parts: for each part its pieces, as JSON lists of rows in the order of store ids.
        size: bytes of all pieces.
        held: bytes of the largest piece of each part: what who merges the parts holds at a time.
    """

    parts: list[Iterator[bytes]]
    size: int
    held: int


class ReportLog:
    """The reports and queries of all four topics.

    Args:
        path: a new file of this process alone.
        changed: called with the id of a report whose state may have changed.
    """

    def __init__(self, path: Path, changed: Callable[[str], None] = lambda _: None) -> None:
        self._changed = changed
        self._database = sqlite3.connect(path, isolation_level=None)
        # thrown away at exit: nothing of it needs to survive a crash
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def on_record(self, record: Any) -> None:
        """Take in a record of any of the topics.

        Raises:
            RecordError: it cannot be used, and changes nothing.
        """
        query = record.topic in (STORE_QUERIES.name, QUERY_RESULTS.name)
        if record.topic in (REPORT_REQUESTS.name, STORE_QUERIES.name):
            request = decode_request(record.value)
            self.requested(request, record.timestamp * 1000, query=query)
            return
        event = decode_event(record.value)
        try:
            if event.piece is None:
                self.happened(event, query=query)
            else:
                self.made(event, event.piece, query=query)
        except orjson.JSONEncodeError as error:
            # orjson reads deeper nesting than it writes
            raise RecordError(f"cannot be kept: {error}") from error
        self._changed(event.report_id)

    def requested(self, request: AnyRequest, taken: int, *, query: bool = False) -> None:
        """A report was asked for; asking again changes nothing, nor does asking for a part."""
        if isinstance(request, PartRequest):
            return
        self._database.execute(
            """
            INSERT INTO report (report_id, subject, reference_time, requested_at, status, query,
                request)
            VALUES (?, ?, ?, ?, 'pending', ?, ?)
            ON CONFLICT (report_id) DO UPDATE
            SET subject = excluded.subject,
                reference_time = excluded.reference_time,
                requested_at = excluded.requested_at,
                request = excluded.request
            WHERE report.subject IS NULL
            """,
            (
                request.report_id,
                subject_of(request),
                request.reference_time,
                asked_at(request, taken),
                query,
                encode_request(request),
            ),
        )

    def happened(self, event: ReportEvent, *, query: bool = False) -> None:
        """A report changed its status; the first final status is the one that stays."""
        content = None if event.report is None else orjson.dumps(event.report)
        changed = self._become(event, event.status, event.reason, content, query=query)
        if changed and event.status == "failed":
            self._drop_pieces("report_id = ?", event.report_id)

    def made(self, event: ReportEvent, piece: Piece, *, query: bool = False) -> None:
        """Rows of a report of many stores came; with the last of them it is complete.

        What counts is the first set of all parts of one reference time, in the topic's order, and
        of each part the first attempt that came whole: every reader puts the same together.
        """
        execute = self._database.execute
        rows, input_offsets = orjson.dumps(piece.rows), orjson.dumps(piece.input_offsets)
        if not self._become(event, "running", query=query):
            return
        execute("UPDATE report SET parts = ? WHERE report_id = ?", (piece.parts, event.report_id))
        made = (event.report_id, piece.reference_time)
        execute(
            "INSERT OR IGNORE INTO piece VALUES (?, ?, ?, ?, ?, ?)",
            (*made, piece.part, piece.attempt, piece.piece, rows),
        )
        if self._count("piece", *made, part=piece.part, attempt=piece.attempt) == piece.pieces:
            execute(
                "INSERT OR IGNORE INTO part VALUES (?, ?, ?, ?, ?, ?)",
                (*made, piece.part, piece.attempt, input_offsets, orjson.dumps(piece.lost_input)),
            )
        if self._count("part", *made) == piece.parts:
            self._complete(event.report_id, piece)

    def _become(
        self,
        event: ReportEvent,
        status: Status,
        reason: str | None = None,
        content: bytes | None = None,
        *,
        query: bool,
    ) -> bool:
        """Take a status over; False where the report has its final one."""
        changed = self._database.execute(
            f"""
            INSERT INTO report (report_id, requested_at, status, reason, content, query)
            VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (report_id) DO UPDATE
            SET status = excluded.status, reason = excluded.reason, content = excluded.content
            WHERE report.status NOT IN {_FINAL_SQL}
            """,  # noqa: S608  only a constant is put in
            (event.report_id, event.at, status, reason, content, query),
        )
        return changed.rowcount > 0

    def _complete(self, report_id: str, piece: Piece) -> None:
        content = {
            "reference_time": format_instant(piece.reference_time),
            **piece.basis,
            "input_offsets": self._input_offsets(report_id, piece.reference_time),
            "columns": piece.columns,
            "further": piece.further,
        }
        lost_input = self._lost_input(report_id, piece.reference_time)
        if lost_input:
            content["lost_input"] = lost_input
        self._database.execute(
            "UPDATE report SET status = 'complete', content = ? WHERE report_id = ?",
            (orjson.dumps(content), report_id),
        )
        # what came of other attempts, and of other reference times, counts no more
        self._database.execute(
            """
            DELETE FROM piece WHERE report_id = ?1 AND NOT EXISTS (
                SELECT 1 FROM part WHERE part.report_id = ?1 AND part.reference_time = ?2
                AND piece.reference_time = ?2
                AND part.part = piece.part AND part.attempt = piece.attempt
            )
            """,
            (report_id, piece.reference_time),
        )

    def _input_offsets(self, report_id: str, reference_time: int) -> dict[str, dict[str, int]]:
        offsets: dict[str, dict[str, int]] = {}
        for part, of_part in self._database.execute(
            "SELECT part, input_offsets FROM part WHERE report_id = ? AND reference_time = ?"
            " ORDER BY part",
            (report_id, reference_time),
        ):
            for topic, offset in orjson.loads(of_part).items():
                offsets.setdefault(topic, {})[str(part)] = offset
        return offsets

    def _lost_input(self, report_id: str, reference_time: int) -> list[dict[str, Any]]:
        return [
            lost
            for (of_part,) in self._database.execute(
                "SELECT lost_input FROM part WHERE report_id = ? AND reference_time = ?"
                " ORDER BY part",
                (report_id, reference_time),
            )
            for lost in orjson.loads(of_part)
        ]

    def _count(self, table: str, report_id: str, reference_time: int, **further: object) -> int:
        where = "".join(f" AND {column} = ?" for column in further)
        row = self._database.execute(
            f"SELECT count(*) FROM {table} WHERE report_id = ? AND reference_time = ?{where}",  # noqa: S608  names of ours
            (report_id, reference_time, *further.values()),
        ).fetchone()
        return int(row[0])

    def pieces(self, report_id: str) -> Pieces:
        """The rows of a complete report of many stores."""
        parts: dict[int, list[tuple[int, int]]] = {}
        for part, number, size in self._database.execute(
            "SELECT part, rowid, length(rows) FROM piece WHERE report_id = ? ORDER BY part, piece",
            (report_id,),
        ):
            parts.setdefault(part, []).append((number, size))
        sizes = [[size for _, size in pieces] for pieces in parts.values()]
        return Pieces(
            [self._read([number for number, _ in pieces]) for pieces in parts.values()],
            size=sum(map(sum, sizes)),
            held=sum(map(max, sizes)),
        )

    def _read(self, numbers: Sequence[int]) -> Iterator[bytes]:
        for number in numbers:
            row = self._database.execute(
                "SELECT rows FROM piece WHERE rowid = ?", (number,)
            ).fetchone()
            if row is None:
                # what was written of the answer so far must not look like all of it
                raise LookupError("the report was forgotten while it was read")
            yield row[0]

    def get(self, report_id: str) -> ReportState | None:
        """The report; None: never heard of."""
        row = self._database.execute(
            "SELECT status, subject, reference_time, reason, content, parts FROM report"
            " WHERE report_id = ?",
            (report_id,),
        ).fetchone()
        if row is None:
            return None
        status, subject, reference_time, reason, content, parts = row
        return ReportState(
            report_id,
            status,
            subject,
            reference_time,
            reason,
            None if content is None else orjson.loads(content),
            None if parts is None else (self._parts_done(report_id), parts),
        )

    def request(self, report_id: str) -> WholeRequest | None:
        """What was asked for; None where only a result is known."""
        row = self._database.execute(
            "SELECT request FROM report WHERE report_id = ?", (report_id,)
        ).fetchone()
        if row is None or row[0] is None:
            return None
        request = decode_request(row[0])
        return None if isinstance(request, PartRequest) else request

    def _parts_done(self, report_id: str) -> int:
        """Of the reference time that is furthest."""
        row = self._database.execute(
            "SELECT count(*) AS done FROM part WHERE report_id = ? GROUP BY reference_time"
            " ORDER BY done DESC LIMIT 1",
            (report_id,),
        ).fetchone()
        return 0 if row is None else int(row[0])

    def open_count(self) -> int:
        """How many reports are pending or running."""
        row = self._database.execute(
            "SELECT count(*) FROM report WHERE status IN ('pending', 'running')"
        ).fetchone()
        return int(row[0])

    def overdue(self, requested_before: int, limit: int) -> list[tuple[str, bool]]:
        """Pending and running reports requested before an instant, oldest first.

        Returns:
            their ids, and whether each is a query.
        """
        rows = self._database.execute(
            "SELECT report_id, query FROM report WHERE status IN ('pending', 'running')"
            " AND requested_at < ? ORDER BY requested_at LIMIT ?",
            (requested_before, limit),
        )
        return [(report_id, bool(query)) for report_id, query in rows]

    def forget(self, reports_before: int, queries_before: int) -> int:
        """Drop what was requested before an instant; how many there were."""
        forgotten = self._database.execute(
            "DELETE FROM report WHERE requested_at < iif(query, ?, ?)",
            (queries_before, reports_before),
        ).rowcount
        if forgotten:
            self._drop_pieces("report_id NOT IN (SELECT report_id FROM report)")
        return forgotten

    def _drop_pieces(self, where: str, *values: object) -> None:
        for table in ("piece", "part"):
            self._database.execute(f"DELETE FROM {table} WHERE {where}", values)  # noqa: S608  ours


_FINAL_SQL: Final = "(" + ", ".join(f"'{status}'" for status in sorted(FINAL)) + ")"
