"""The kinds of CSV files, their columns, and the splitting of a row into its values."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import Final

from producers.csv_replay.line_file import MAX_LINE_BYTES
from stream_app.errors import RecordError


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of input file.

    Attributes:
        name: the name of its rows in options, summaries and dead letters.
        words: the name of its rows in sentences.
        option: the option of `store-uptime replay` that names such files.
        columns: for each value of a row, the possible names of its column.
    """

    name: str
    words: str
    option: str
    columns: tuple[tuple[str, ...], ...]


POLLS: Final = Kind("polls", "polls", "--status", (("store_id",), ("status",), ("timestamp_utc",)))
HOURS: Final = Kind(
    "hours",
    "hours",
    "--hours",
    (("store_id",), ("dayOfWeek", "day"), ("start_time_local",), ("end_time_local",)),
)
ZONES: Final = Kind("zones", "timezones", "--zones", (("store_id",), ("timezone_str",)))
KINDS: Final = {kind.name: kind for kind in (POLLS, HOURS, ZONES)}


@dataclass(frozen=True, slots=True)
class Columns:
    """The positions of the values in a row.

    Attributes:
        count: number of columns in the header and in every row.
        positions: for each value of the kind, its column, counted from 0.
    """

    count: int
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that is not accepted.

    Attributes:
        file: the path of the file as the user wrote it.
        line: the number of the line, from 1; the header counts.
        reason: the reason on one line.
        original: the bytes of the row, or the beginning of a row that is too long.
        kind: the name of the file's kind.
        columns: the header as `columns_text` writes it.
        truncated: True if it is only the beginning.
    """

    file: str
    line: int
    reason: str
    original: bytes
    kind: str
    columns: str
    truncated: bool = False


def split_line(line: bytes) -> list[str]:
    """Return the fields of one row without its line end; none for a blank line.

    Bytes that are not UTF-8 become surrogates, as `surrogateescape` makes them.

    Raises:
        RecordError: the line is too long or has only NUL bytes, or its quotes do not match.
    """
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    if len(line) > MAX_LINE_BYTES:
        raise RecordError(f"longer than {MAX_LINE_BYTES:,} bytes")
    text = line.decode(errors="surrogateescape")
    if not text or text.isspace():
        return []
    if not text.strip("\0"):
        raise RecordError("nothing but NUL bytes: was the file written to its end?")
    if '"' not in text:
        return text.split(",")
    try:
        (fields,) = csv.reader([text], strict=True, skipinitialspace=True)
    except csv.Error as error:
        if "unexpected end" in str(error):
            # `quoted_lines` has joined the fields with line breaks that can belong to one row
            raise RecordError("quotes: a quoted field does not end in its line") from None
        raise RecordError(f"quotes: {error}") from None
    return fields


def pick_values(line: bytes, columns: Columns) -> list[str] | None:
    """Return the values of one row in the order of its kind; None for a blank line.

    Raises:
        RecordError: raised by `split_line`; too few or too many columns; a value is not UTF-8
            (other columns may hold any bytes).
    """
    fields = split_line(line)
    if not fields:
        return None
    if len(fields) != columns.count:
        raise RecordError(f"{len(fields)} columns where the header has {columns.count}")
    for position in columns.positions:
        check_utf8(fields[position], position)
    return [fields[position] for position in columns.positions]


def check_utf8(value: str, position: int) -> None:
    """Check that a field is UTF-8.

    Raises:
        RecordError: it is not; the message names the column.
    """
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        byte = value.encode(errors="surrogateescape")[len(value[: error.start].encode())]
        raise RecordError(f"not UTF-8: byte 0x{byte:02x} in column {position + 1}") from None
