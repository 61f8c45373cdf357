"""Writes rejected rows: the first ones to the screen, all as dead letters and to a CSV file."""

from __future__ import annotations

import csv
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Self

from stream_app.contracts.dead_letters import DeadLetter, dead_letter_key, encode_dead_letter
from stream_app.contracts.topics import DEAD_LETTERS
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from producers.csv_replay.table import RejectedRow
    from producers.record_sink import RecordSink

MAX_SHOWN_ROWS: Final = 20
"""Rejected rows that are shown one by one."""


class RejectedRows:
    """A context that shows and sends every rejected row.

    Args:
        rejects: a CSV file for the rejected rows; None for no file.
        show: prints a line.

    Raises:
        StoreUptimeError: the CSV file cannot be written.
    """

    def __init__(self, rejects: Path | None, show: Callable[[str], None]) -> None:
        self.count = 0
        self._show = show
        self._rejects = rejects
        self._open_files = ExitStack()
        self._writer: Any = None  # the csv module does not export its writer's type

    def __enter__(self) -> Self:
        if self._rejects is not None:
            try:
                file = self._open_files.enter_context(
                    self._rejects.open("w", encoding="utf-8", newline="")
                )
            except OSError as error:
                raise StoreUptimeError(
                    f"{self._rejects}: cannot be written: {error.strerror or error}"
                ) from None
            self._writer = csv.writer(file)
            self._writer.writerow(["file", "line", "reason", "original"])
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._open_files.close()
        if self.count > MAX_SHOWN_ROWS and kind is None:
            more = self.count - MAX_SHOWN_ROWS
            self._show(f"... and {more:,} more; all are kept in the {DEAD_LETTERS.name} topic")

    async def write(self, rows: Iterable[RejectedRow], sink: RecordSink) -> None:
        """Show rejected rows, write them to the file and send them as dead letters.

        Raises:
            StoreUptimeError: raised by the sink.
        """
        for row in rows:
            self.count += 1
            if self.count <= MAX_SHOWN_ROWS:
                self._show(f"{row.file}:{row.line}: {row.reason}")
            if self._writer is not None:
                original = row.original.decode(errors="backslashreplace")
                self._writer.writerow([row.file, row.line, row.reason, original])
            dead_letter = DeadLetter(
                {"file": row.file, "line": row.line, "kind": row.kind, "columns": row.columns},
                row.reason,
                row.original,
                truncated=row.truncated,
            )
            await sink.send(
                DEAD_LETTERS, dead_letter_key(dead_letter), encode_dead_letter(dead_letter)
            )
