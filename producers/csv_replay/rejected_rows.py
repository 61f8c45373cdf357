"""Where refused rows go: some to the screen, all to the dead letters and to a file on wish."""

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

    from producers.csv_replay.table import Refused
    from producers.record_sink import RecordSink

SHOWN: Final = 20
"""Refused rows that are shown one by one."""


class Refusals:
    """A context that keeps every refused row.

    Args:
        rejects: a CSV file to write them to as well.
        show: takes a line for the person who looks on.

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
        if self.count > SHOWN and kind is None:
            more = self.count - SHOWN
            self._show(f"... and {more:,} more; all are kept in the {DEAD_LETTERS.name} topic")

    async def keep(self, rows: Iterable[Refused], sink: RecordSink) -> None:
        """Show, write and send refused rows.

        Raises:
            StoreUptimeError: as the sink.
        """
        for row in rows:
            self.count += 1
            if self.count <= SHOWN:
                self._show(f"{row.file}:{row.line}: {row.reason}")
            if self._writer is not None:
                original = row.original.decode(errors="backslashreplace")
                self._writer.writerow([row.file, row.line, row.reason, original])
            letter = DeadLetter(
                {"file": row.file, "line": row.line, "kind": row.kind, "columns": row.columns},
                row.reason,
                row.original,
                truncated=row.truncated,
            )
            await sink.send(DEAD_LETTERS, dead_letter_key(letter), encode_dead_letter(letter))
