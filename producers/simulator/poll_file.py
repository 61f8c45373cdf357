"""Writes polls as CSV in the form of `store_status.csv`, so that other programs can read them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from stream_app.contracts.fields import status_name
from stream_app.domain.timestamps import to_datetime
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from pathlib import Path

HEADER: Final = "store_id,status,timestamp_utc"
"""First line of the file."""


def poll_row(store_id: str, instant: int, *, active: bool) -> str:
    """Write one row with microseconds, from which `replay` reads the same poll."""
    return f"{store_id},{status_name(active)},{to_datetime(instant):%Y-%m-%d %H:%M:%S.%f} UTC"


class PollFile:
    """A context that appends rows to a new file or to one of an earlier run.

    `add` only buffers the row; `flush` writes.

    Raises:
        StoreUptimeError: the file cannot be written, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._buffer: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._file = self.path.open("a+", encoding="utf-8", newline="")
            self._file.seek(0)
            first_line = self._file.readline(len(HEADER) + 2)
        except (OSError, UnicodeDecodeError) as error:
            raise self._error(error) from None
        if not first_line:
            self._buffer.append(HEADER)
        elif first_line.rstrip("\r\n") != HEADER:
            self._file.close()
            raise StoreUptimeError(f"{self.path}: not added to it: its header is not {HEADER}")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.flush()
        finally:
            # `flush` has reported rows that it could not write
            with suppress(OSError):
                self._file.close()

    def add(self, store_id: str, instant: int, *, active: bool) -> None:
        """Buffer a poll for the next `flush`."""
        self._buffer.append(poll_row(store_id, instant, active=active))
        self.rows += 1

    def flush(self) -> None:
        """Write the buffered rows.

        Raises:
            StoreUptimeError: the file cannot be written.
        """
        if not self._buffer:
            return
        rows = "\n".join(self._buffer)
        self._buffer.clear()
        try:
            self._file.write(f"{rows}\n")
            self._file.flush()
        except OSError as error:
            raise self._error(error) from None

    def _error(self, error: Exception) -> StoreUptimeError:
        detail = error.strerror if isinstance(error, OSError) else "not UTF-8"
        return StoreUptimeError(f"{self.path}: cannot be written: {detail or error}")
