"""The reports and queries of the deployment: a materialized view of the topics of both.

Every start builds the view anew from the topics, which are the source of truth: so every API
process answers for every report, and a restart loses none. The view is in a temporary SQLite
file, not in memory, because there are more reports than a process should hold.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from stream_app.contracts.report_requests import (
    FleetPartRequest,
    decode_request,
    encode_request,
    original_request_time,
    request_fingerprint,
)
from stream_app.contracts.report_results import FINAL, ReportDocument, decode_event
from stream_app.contracts.topics import QUERY_RESULTS, REPORT_REQUESTS, STORE_QUERIES
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from stream_app.contracts.report_requests import ReportRequestRecord, UserRequest
    from stream_app.contracts.report_results import ReportEvent, ResultChunk, Status

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
-- of reports of many stores: the chunks, and for each part its first complete attempt
CREATE TABLE chunk (
    report_id TEXT NOT NULL,
    reference_time INTEGER NOT NULL,
    part INTEGER NOT NULL,
    attempt TEXT NOT NULL,
    chunk INTEGER NOT NULL,
    rows BLOB NOT NULL,
    UNIQUE (report_id, reference_time, part, attempt, chunk)
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
    """The present state of one report.

    Attributes:
        report_id: the report.
        status: pending, running, complete or failed.
        subject: identifies its stores and figures, see `request_fingerprint`; None where only a
            result is known.
        reference_time: µs as requested; None if the reference clock decides.
        reason: why it failed.
        document: the complete report; of many stores, without its rows. None where it is gone.
        parts: the number of finished parts of a report of many stores, and of all its parts; None
            if the report is of one store, or if they are not known yet.
    """

    report_id: str
    status: Status
    subject: str | None
    reference_time: int | None
    reason: str | None
    document: ReportDocument | None
    parts: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class StoredRows:
    """The rows of a report of many stores, read once and only as they are needed.

    Attributes:
        parts: for each part its chunks, as JSON lists of rows in the order of store ids.
        size: bytes of all chunks.
        bytes_in_memory: bytes of the largest chunk of each part; while the parts are merged, they
            are in memory.
    """

    parts: list[Iterator[bytes]]
    size: int
    bytes_in_memory: int


class ReportView:
    """The reports and queries of all four topics.

    Args:
        path: a new file of this process.
        changed: called with the id of a report whose state may have changed.
    """

    def __init__(self, path: Path, changed: Callable[[str], None] = lambda _: None) -> None:
        self._changed = changed
        self._database = sqlite3.connect(path, isolation_level=None)
        # the file is deleted at exit and need not survive a crash
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def on_record(self, record: Any) -> None:
        """Apply a record of any of the topics.

        Raises:
            RecordError: it cannot be used, and changes nothing.
        """
        query = record.topic in (STORE_QUERIES.name, QUERY_RESULTS.name)
        if record.topic in (REPORT_REQUESTS.name, STORE_QUERIES.name):
            request = decode_request(record.value)
            self.apply_request(request, record.timestamp * 1000, query=query)
            return
        event = decode_event(record.value)
        try:
            if event.chunk is None:
                self.apply_status(event, query=query)
            else:
                self.apply_chunk(event, event.chunk, query=query)
        except orjson.JSONEncodeError as error:
            # orjson reads deeper nesting than it writes
            raise RecordError(f"cannot be kept: {error}") from error
        self._changed(event.report_id)

    def apply_request(
        self, request: ReportRequestRecord, append_time: int, *, query: bool = False
    ) -> None:
        """Add a requested report; a repeated request and that of a part change nothing."""
        if isinstance(request, FleetPartRequest):
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
                request_fingerprint(request),
                request.reference_time,
                original_request_time(request, append_time),
                query,
                encode_request(request),
            ),
        )

    def apply_status(self, event: ReportEvent, *, query: bool = False) -> None:
        """Set the status of a report; its first final status never changes."""
        content = None if event.report is None else orjson.dumps(event.report.fields)
        changed = self._set_status(event, event.status, event.reason, content, query=query)
        if changed and event.status == "failed":
            self._drop_chunks("report_id = ?", event.report_id)

    def apply_chunk(self, event: ReportEvent, chunk: ResultChunk, *, query: bool = False) -> None:
        """Add rows of a report of many stores, which is complete with the last of them.

        The first set of all parts of one reference time counts, in the topic's order, and of each
        part the first complete attempt: every reader puts the same report together.
        """
        execute = self._database.execute
        rows, input_offsets = orjson.dumps(chunk.rows), orjson.dumps(chunk.input_offsets)
        if not self._set_status(event, "running", query=query):
            return
        execute("UPDATE report SET parts = ? WHERE report_id = ?", (chunk.parts, event.report_id))
        key = (event.report_id, chunk.reference_time)
        execute(
            "INSERT OR IGNORE INTO chunk VALUES (?, ?, ?, ?, ?, ?)",
            (*key, chunk.part, chunk.attempt, chunk.chunk, rows),
        )
        if self._count("chunk", *key, part=chunk.part, attempt=chunk.attempt) == chunk.chunks:
            execute(
                "INSERT OR IGNORE INTO part VALUES (?, ?, ?, ?, ?, ?)",
                (
                    *key,
                    chunk.part,
                    chunk.attempt,
                    input_offsets,
                    orjson.dumps(chunk.lost_input),
                ),
            )
        if self._count("part", *key) == chunk.parts:
            self._complete(event.report_id, chunk)

    def _set_status(
        self,
        event: ReportEvent,
        status: Status,
        reason: str | None = None,
        content: bytes | None = None,
        *,
        query: bool,
    ) -> bool:
        """Set the status; returns False where the report has its final one."""
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

    def _complete(self, report_id: str, chunk: ResultChunk) -> None:
        document = chunk.document(
            self._input_offsets(report_id, chunk.reference_time),
            self._lost_input(report_id, chunk.reference_time),
        )
        self._database.execute(
            "UPDATE report SET status = 'complete', content = ? WHERE report_id = ?",
            (orjson.dumps(document.fields), report_id),
        )
        # chunks of other attempts and of other reference times are no longer needed
        self._database.execute(
            """
            DELETE FROM chunk WHERE report_id = ?1 AND NOT EXISTS (
                SELECT 1 FROM part WHERE part.report_id = ?1 AND part.reference_time = ?2
                AND chunk.reference_time = ?2
                AND part.part = chunk.part AND part.attempt = chunk.attempt
            )
            """,
            (report_id, chunk.reference_time),
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

    def stored_rows(self, report_id: str) -> StoredRows:
        """Return the rows of a complete report of many stores."""
        parts: dict[int, list[tuple[int, int]]] = {}
        for part, number, size in self._database.execute(
            "SELECT part, rowid, length(rows) FROM chunk WHERE report_id = ? ORDER BY part, chunk",
            (report_id,),
        ):
            parts.setdefault(part, []).append((number, size))
        sizes = [[size for _, size in chunks] for chunks in parts.values()]
        return StoredRows(
            [self._read([number for number, _ in chunks]) for chunks in parts.values()],
            size=sum(map(sum, sizes)),
            bytes_in_memory=sum(map(max, sizes)),
        )

    def _read(self, numbers: Sequence[int]) -> Iterator[bytes]:
        for number in numbers:
            row = self._database.execute(
                "SELECT rows FROM chunk WHERE rowid = ?", (number,)
            ).fetchone()
            if row is None:
                # the part of the answer that is written must not look like all of it
                raise LookupError("the report was forgotten while it was read")
            yield row[0]

    def get(self, report_id: str) -> ReportState | None:
        """Return the state of a report; None if it is unknown."""
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
            None if content is None else ReportDocument.decode(orjson.loads(content)),
            None if parts is None else (self._parts_done(report_id), parts),
        )

    def request(self, report_id: str) -> UserRequest | None:
        """Return the request of a report; None where only a result is known."""
        row = self._database.execute(
            "SELECT request FROM report WHERE report_id = ?", (report_id,)
        ).fetchone()
        if row is None or row[0] is None:
            return None
        request = decode_request(row[0])
        return None if isinstance(request, FleetPartRequest) else request

    def _parts_done(self, report_id: str) -> int:
        """Return the parts that are done, of the reference time with the most of them."""
        row = self._database.execute(
            "SELECT count(*) AS done FROM part WHERE report_id = ? GROUP BY reference_time"
            " ORDER BY done DESC LIMIT 1",
            (report_id,),
        ).fetchone()
        return 0 if row is None else int(row[0])

    def open_count(self) -> int:
        """Return the number of reports that are pending or running."""
        row = self._database.execute(
            "SELECT count(*) FROM report WHERE status IN ('pending', 'running')"
        ).fetchone()
        return int(row[0])

    def overdue(self, requested_before: int, limit: int) -> list[tuple[str, bool]]:
        """Return the pending and running reports requested before an instant, oldest first.

        Returns:
            their ids, and whether each is a query.
        """
        rows = self._database.execute(
            "SELECT report_id, query FROM report WHERE status IN ('pending', 'running')"
            " AND requested_at < ? ORDER BY requested_at LIMIT ?",
            (requested_before, limit),
        )
        return [(report_id, bool(query)) for report_id, query in rows]

    def expire(self, reports_before: int, queries_before: int) -> int:
        """Delete reports and queries that were requested before an instant; return their number."""
        expired = self._database.execute(
            "DELETE FROM report WHERE requested_at < iif(query, ?, ?)",
            (queries_before, reports_before),
        ).rowcount
        if expired:
            self._drop_chunks("report_id NOT IN (SELECT report_id FROM report)")
        return expired

    def _drop_chunks(self, where: str, *values: object) -> None:
        for table in ("chunk", "part"):
            self._database.execute(f"DELETE FROM {table} WHERE {where}", values)  # noqa: S608  ours


_FINAL_SQL: Final = "(" + ", ".join(f"'{status}'" for status in sorted(FINAL)) + ")"
