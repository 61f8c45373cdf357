"""CSV files as the semantics allow them: which columns, which rows, what is wrong with a row."""

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
        name: what its rows are.
        option: of `store-uptime replay`, which names such files.
        columns: for each value of a row, the names that its column may have.
    """

    name: str
    option: str
    columns: tuple[tuple[str, ...], ...]


POLLS: Final = Kind("polls", "--status", (("store_id",), ("status",), ("timestamp_utc",)))
HOURS: Final = Kind(
    "hours",
    "--hours",
    (("store_id",), ("dayOfWeek", "day"), ("start_time_local",), ("end_time_local",)),
)
ZONES: Final = Kind("zones", "--zones", (("store_id",), ("timezone_str",)))
KINDS: Final = {kind.name: kind for kind in (POLLS, HOURS, ZONES)}


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the values of a row are.

    Attributes:
        count: columns of the header: each row has as many.
        positions: for each value of the kind, its column from 0.
    """

    count: int
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that was not accepted.

    Attributes:
        file: the file as it was named.
        line: from 1; the header counts.
        reason: one line.
        original: the bytes of the row, of an overlong one the beginning.
        kind: name of the kind of the file.
        columns: the header as `columns_text` writes it.
        truncated: True for the beginning of an overlong row.
    """

    file: str
    line: int
    reason: str
    original: bytes
    kind: str
    columns: str
    truncated: bool = False


def split_line(line: bytes) -> list[str]:
    """The fields of one row, its line end aside; none for a blank line.

    Bytes that are not UTF-8 become surrogates, as `surrogateescape` makes them.

    Raises:
        RecordError: overlong, nothing but NUL bytes, or quotes that do not match.
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
            # `quoted_lines` joins a field that goes on in the next line, where it can be a row
            raise RecordError("quotes: a quoted field does not end in its line") from None
        raise RecordError(f"quotes: {error}") from None
    return fields


def pick_values(line: bytes, columns: Columns) -> list[str] | None:
    """The values of one row in the order of its kind; None for a blank line.

    Raises:
        RecordError: as `split_line`, with too few or too many columns, or one of the values is not
            UTF-8; the columns that the kind has no use for may hold anything.
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
    """Check a field.

    Raises:
        RecordError: not UTF-8; names the column.
    """
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        byte = value.encode(errors="surrogateescape")[len(value[: error.start].encode())]
        raise RecordError(f"not UTF-8: byte 0x{byte:02x} in column {position + 1}") from None
