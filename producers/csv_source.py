"""CSV files as the semantics allow them: which columns, which rows, what is wrong with a row.

Polars splits the chunks of a poll file into columns: it keeps row i at line i, which PyArrow's
reader does not (one bad value there ends the file, and its handler sees ragged rows only).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from producers.lines import MAX_LINE_BYTES, Chunk, LineFile
from stream_app.errors import RecordError, StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of input file.

    Attributes:
        name: what its rows are.
        columns: for each value of a row, the names that its column may have.
    """

    name: str
    columns: tuple[tuple[str, ...], ...]


POLLS: Final = Kind("polls", (("store_id",), ("status",), ("timestamp_utc",)))
HOURS: Final = Kind(
    "hours", (("store_id",), ("dayOfWeek", "day"), ("start_time_local",), ("end_time_local",))
)
ZONES: Final = Kind("zones", (("store_id",), ("timezone_str",)))
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

    Raises:
        RecordError: overlong, not UTF-8, or quotes that do not match.
    """
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    if len(line) > MAX_LINE_BYTES:
        raise RecordError(f"longer than {MAX_LINE_BYTES:,} bytes")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise RecordError(f"not UTF-8: byte 0x{byte:02x} at position {error.start + 1}") from None
    if not text or text.isspace():
        return []
    if '"' not in text:
        return text.split(",")
    try:
        # a quoted field that goes on in the next line ends here: an error in this line
        (fields,) = csv.reader([text], strict=True, skipinitialspace=True)
    except csv.Error as error:
        raise RecordError(f"quotes: {error}") from None
    return fields


def pick_values(line: bytes, columns: Columns) -> list[str] | None:
    """The values of one row in the order of its kind; None for a blank line.

    Raises:
        RecordError: as `split_line`, or with too few or too many columns.
    """
    fields = split_line(line)
    if not fields:
        return None
    if len(fields) != columns.count:
        raise RecordError(f"{len(fields)} columns where the header has {columns.count}")
    return [fields[position] for position in columns.positions]


class Table:
    """An open CSV file of one kind, its header read.

    Attributes:
        path: the file as it was named.
        columns: where the values are; None for a file without any line.

    Raises:
        StoreUptimeError: unreadable, or its header lacks a column.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        self.path = path
        self.kind = kind
        self.file = LineFile(path)
        self.columns: Columns | None = None
        self._chunks = self.file.chunks()
        self._first: Chunk | None = None
        try:
            self._read_header()
        except StoreUptimeError:
            self.file.close()
            raise

    def _read_header(self) -> None:
        for chunk in self._chunks:
            data = chunk.data
            if chunk.first_line == 1:
                if data[:2] in _UTF16_MARKS:
                    raise StoreUptimeError(f"{self.path}: UTF-16; save it as UTF-8")
                data = data.removeprefix(_BYTE_ORDER_MARK)
            number = chunk.first_line
            start = 0
            while start < len(data):
                end = data.find(b"\n", start) + 1 or len(data)
                names = self._header_names(data[start:end], number)
                number += 1
                start = end
                if names:
                    self.columns = find_columns(names, self.kind, self.path)
                    self._first = Chunk(number, data[start:])
                    return

    def _header_names(self, line: bytes, number: int) -> list[str]:
        try:
            return split_line(line)
        except RecordError as error:
            raise StoreUptimeError(f"{self.path}:{number}: no header of a CSV: {error}") from None

    def chunks(self) -> Iterator[Chunk]:
        """The lines after the header, once.

        Raises:
            StoreUptimeError: the file cannot be read to its end.
        """
        if self._first is not None and self._first.data:
            yield self._first
        self._first = None
        yield from self._chunks

    def refuse(self, line: int, reason: str, original: bytes) -> Refused:
        """The refusal of a row of this file."""
        row = original.removesuffix(b"\n").removesuffix(b"\r")
        return Refused(
            str(self.path),
            line,
            reason,
            row[:MAX_LINE_BYTES],
            self.kind.name,
            columns_text(self.columns, self.kind) if self.columns else "",
            truncated=len(row) > MAX_LINE_BYTES,
        )

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def columns_text(columns: Columns, kind: Kind) -> str:
    """A header for the same columns: `find_columns` finds them there again.

    Columns that the kind has no use for are left without a name.
    """
    names = [""] * columns.count
    for position, choice in zip(columns.positions, kind.columns, strict=True):
        names[position] = choice[0]
    return ",".join(names)


def find_columns(names: list[str], kind: Kind, path: Path) -> Columns:
    """Where a header has the columns of a kind: any order, any case, spaces or not.

    Raises:
        StoreUptimeError: a column is missing or there twice; names the file.
    """
    plain = [_plain(name) for name in names]
    positions = []
    missing = []
    for choice in kind.columns:
        wanted = {_plain(name) for name in choice}
        found = [position for position, name in enumerate(plain) if name in wanted]
        if len(found) > 1:
            raise StoreUptimeError(f"{path}: more than one column {' or '.join(choice)}")
        if found:
            positions += found
        else:
            missing.append(" or ".join(choice))
    if missing:
        shown = ",".join(names)
        raise StoreUptimeError(
            f"{path}: no column {', '.join(missing)} for {kind.name}; the header is {shown[:100]!r}"
        )
    return Columns(len(names), tuple(positions))


def _plain(name: str) -> str:
    return name.replace(" ", "").replace("_", "").strip().lower()
