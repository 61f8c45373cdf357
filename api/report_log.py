"""What became of every report, as `report-requests` and `report-results` tell it.

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

from stream_app.contracts.reports import FINAL, decode_event, decode_request
from stream_app.contracts.topics import REPORT_REQUESTS
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.contracts.reports import ReportEvent, ReportRequest, Status

log = logging.getLogger(__name__)

_SCHEMA: Final = """
CREATE TABLE report (
    report_id TEXT PRIMARY KEY,
    store_id TEXT,
    reference_time INTEGER,
    requested_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    content BLOB
) WITHOUT ROWID;
CREATE INDEX report_open ON report (requested_at) WHERE status IN ('pending', 'running');
CREATE INDEX report_age ON report (requested_at);
"""


@dataclass(frozen=True, slots=True)
class ReportState:
    """One report as it stands.

    Attributes:
        report_id: the report.
        status: pending, running, complete or failed.
        store_id: the store; None where only a result is known.
        reference_time: µs as requested; None: by the reference clock.
        reason: why it failed.
        content: the report of a complete one; None where it is gone.
    """

    report_id: str
    status: Status
    store_id: str | None
    reference_time: int | None
    reason: str | None
    content: dict[str, Any] | None


class ReportLog:
    """The reports of both topics; `path` is a new file of this process alone."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        # thrown away at exit: nothing of it needs to survive a crash
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def on_record(self, record: Any) -> None:
        """Take in a record of either topic; one that cannot be read changes nothing."""
        try:
            if record.topic == REPORT_REQUESTS.name:
                self.requested(decode_request(record.value), record.timestamp * 1000)
            else:
                self.happened(decode_event(record.value))
        except (RecordError, orjson.JSONEncodeError) as error:
            # the worker has kept it as a dead letter
            log.debug("%s/%d: %s", record.topic, record.offset, error)

    def requested(self, request: ReportRequest, taken: int) -> None:
        """A report was asked for; asking again changes nothing."""
        self._database.execute(
            """
            INSERT INTO report (report_id, store_id, reference_time, requested_at, status)
            VALUES (?, ?, ?, ?, 'pending')
            ON CONFLICT (report_id) DO UPDATE
            SET store_id = excluded.store_id,
                reference_time = excluded.reference_time,
                requested_at = excluded.requested_at
            WHERE report.store_id IS NULL
            """,
            (
                request.report_id,
                request.store_id,
                request.reference_time,
                request.asked_at(taken),
            ),
        )

    def happened(self, event: ReportEvent) -> None:
        """A report changed its status; the first final status is the one that stays."""
        content = None if event.report is None else orjson.dumps(event.report)
        self._database.execute(
            f"""
            INSERT INTO report (report_id, requested_at, status, reason, content)
            VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (report_id) DO UPDATE
            SET status = excluded.status, reason = excluded.reason, content = excluded.content
            WHERE report.status NOT IN {_FINAL_SQL}
            """,  # noqa: S608  only a constant is put in
            (event.report_id, event.at, event.status, event.reason, content),
        )

    def get(self, report_id: str) -> ReportState | None:
        """The report; None: never heard of."""
        row = self._database.execute(
            "SELECT status, store_id, reference_time, reason, content FROM report"
            " WHERE report_id = ?",
            (report_id,),
        ).fetchone()
        if row is None:
            return None
        status, store_id, reference_time, reason, content = row
        return ReportState(
            report_id,
            status,
            store_id,
            reference_time,
            reason,
            None if content is None else orjson.loads(content),
        )

    def open_count(self) -> int:
        """How many reports are pending or running."""
        row = self._database.execute(
            "SELECT count(*) FROM report WHERE status IN ('pending', 'running')"
        ).fetchone()
        return int(row[0])

    def overdue(self, requested_before: int, limit: int) -> list[str]:
        """Ids of pending and running reports requested before an instant, oldest first."""
        rows = self._database.execute(
            "SELECT report_id FROM report WHERE status IN ('pending', 'running')"
            " AND requested_at < ? ORDER BY requested_at LIMIT ?",
            (requested_before, limit),
        )
        return [report_id for (report_id,) in rows]

    def forget(self, requested_before: int) -> int:
        """Drop the reports requested before an instant; how many there were."""
        return self._database.execute(
            "DELETE FROM report WHERE requested_at < ?", (requested_before,)
        ).rowcount


_FINAL_SQL: Final = "(" + ", ".join(f"'{status}'" for status in sorted(FINAL)) + ")"
