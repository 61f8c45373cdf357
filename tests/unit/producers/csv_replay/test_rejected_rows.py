from __future__ import annotations

import csv
from typing import TYPE_CHECKING, cast

import pytest

from producers.csv_replay.rejected_rows import MAX_SHOWN_ROWS, RejectedRows
from producers.csv_replay.table import RejectedRow
from stream_app.contracts.dead_letters import decode_dead_letter
from stream_app.contracts.topics import DEAD_LETTERS, TopicSpec
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from pathlib import Path

    from producers.record_sink import RecordSink


COLUMNS = "store_id,status,timestamp_utc"


class SinkDouble:
    """Stores the records that it should send."""

    def __init__(self) -> None:
        self.sent: list[tuple[TopicSpec, bytes, bytes]] = []

    async def send(self, topic: TopicSpec, key: bytes, value: bytes) -> None:
        self.sent.append((topic, key, value))


def rejected(number: int) -> RejectedRow:
    original = f"row, {number} \xe9".encode("latin-1")
    cut = number == 3
    return RejectedRow("polls.csv", number, "not a time", original, "polls", COLUMNS, truncated=cut)


async def test_every_rejected_row_is_sent_and_the_first_ones_are_shown(tmp_path: Path) -> None:
    shown: list[str] = []
    sink = SinkDouble()
    path = tmp_path / "rejects.csv"
    rows = [rejected(number) for number in range(2, MAX_SHOWN_ROWS + 5)]
    with RejectedRows(path, shown.append) as rejected_rows:
        await rejected_rows.write(rows[:1], cast("RecordSink", sink))
        await rejected_rows.write(rows[1:], cast("RecordSink", sink))
    assert len(shown) == MAX_SHOWN_ROWS + 1
    assert shown[0] == "polls.csv:2: not a time"
    assert shown[-1] == "... and 3 more; all are kept in the dead-letters topic"
    assert all(topic is DEAD_LETTERS for topic, _, _ in sink.sent)
    dead_letters = [decode_dead_letter(value) for _, _, value in sink.sent]
    assert [
        (dead_letter.source, dead_letter.reason, dead_letter.original)
        for dead_letter in dead_letters
    ] == [
        (
            {"file": row.file, "line": row.line, "kind": "polls", "columns": COLUMNS},
            row.reason,
            row.original,
        )
        for row in rows
    ]
    assert [dead_letter.truncated for dead_letter in dead_letters[:3]] == [False, True, False]
    assert sink.sent[0][1] == b"polls.csv/2"
    with path.open(encoding="utf-8", newline="") as file:
        written = list(csv.reader(file))
    assert written[0] == ["file", "line", "reason", "original"]
    assert written[1] == ["polls.csv", "2", "not a time", "row, 2 \\xe9"]
    assert len(written) == len(rows) + 1


async def test_no_further_line_follows_where_all_rows_were_shown() -> None:
    shown: list[str] = []
    with RejectedRows(None, shown.append) as rejected_rows:
        await rejected_rows.write([rejected(2)], cast("RecordSink", SinkDouble()))
    assert shown == ["polls.csv:2: not a time"]


def test_a_file_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreUptimeError, match="cannot be written: No such file"),
        RejectedRows(tmp_path / "none" / "rejects.csv", print),
    ):
        pass
