"""CSV files as the semantics allow them: which columns, which rows, what is wrong with a row.

Polars splits the chunks of a poll file into columns: it keeps row i at line i, which PyArrow's
reader does not (one bad value there ends the file, and its handler sees ragged rows only).
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from producers.lines import MAX_LINE_BYTES, Chunk, LineFile
from producers.quoted_lines import join_rows
from stream_app.contracts.records import parse_uuid
from stream_app.errors import RecordError, StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_SEPARATORS: Final = {";": "';'", "\t": "tabs", "|": "'|'"}
"""What stands between the columns of files that are separated by no comma."""

_SEPARATOR_LINE: Final = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
"""The first line of a file that is written for Excel."""


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
        _check_utf8(fields[position], position)
    return [fields[position] for position in columns.positions]


def _check_utf8(value: str, position: int) -> None:
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        byte = value.encode(errors="surrogateescape")[len(value[: error.start].encode())]
        raise RecordError(f"not UTF-8: byte 0x{byte:02x} in column {position + 1}") from None


class Table:
    """An open CSV file of one kind, its header read.

    Attributes:
        path: the file as it was named.
        name: the same on one line.
        columns: where the values are; None for a file without any line.

    Raises:
        StoreUptimeError: unreadable, or its header lacks a column.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        self.path = path
        self.kind = kind
        self.file = LineFile(path)
        self.name = self.file.name
        self.columns: Columns | None = None
        self._chunks = self.file.chunks()
        self._first: Chunk | None = None
        self._joined: dict[int, bytes] = {}
        try:
            header = _read_header(self._chunks)
            if header is not None:
                self.columns = header.columns(kind, self.name)
                self._first = header.rest
        except StoreUptimeError:
            self.file.close()
            raise

    def chunks(self) -> Iterator[Chunk]:
        """The lines after the header, once; a row stands on one line, however many it had.

        A row with a line break in a quoted field is its first line, its others are blank: so each
        row keeps its number.

        Raises:
            StoreUptimeError: the file cannot be read to its end.
        """
        held = Chunk(0, b"")
        for chunk in self._plain_chunks():
            if held.data and held.first_line + held.data.count(b"\n") != chunk.first_line:
                # blank lines were left out between them
                yield self._joined_rows(held, last=True)[0]
                held = Chunk(chunk.first_line, b"")
            if held.data:
                chunk = Chunk(held.first_line, held.data + chunk.data)  # noqa: PLW2901  one chunk
            rows, held = self._joined_rows(chunk, last=False)
            if rows.data:
                yield rows
        if held.data:
            yield self._joined_rows(held, last=True)[0]

    def _joined_rows(self, chunk: Chunk, *, last: bool) -> tuple[Chunk, Chunk]:
        """Whole rows, and the lines of one that may go on behind the chunk."""
        columns = self.columns
        if columns is None:
            return chunk, Chunk(0, b"")
        rows = join_rows(chunk.data, columns.count, columns.positions, last=last)
        line = chunk.first_line
        self._joined = {line + index: row for index, row in rows.joined.items()}
        return Chunk(line, rows.data), Chunk(line + rows.data.count(b"\n"), rows.rest)

    def _plain_chunks(self) -> Iterator[Chunk]:
        if self._first is not None and self._first.data:
            yield self._first
        self._first = None
        yield from self._chunks

    def refuse(self, line: int, reason: str, original: bytes) -> Refused:
        """The refusal of a row of the chunk that came last."""
        row = self._joined.get(line, original).removesuffix(b"\n").removesuffix(b"\r")
        return Refused(
            self.name,
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


@dataclass(frozen=True, slots=True)
class _Header:
    """The first line of a file that is not blank.

    Attributes:
        line: its number, from 1.
        text: as it stands there.
        names: of the columns, where commas separate them.
        rest: the lines after it, as far as they were read.
        trouble: why it is no row of a CSV; empty: it is one.
    """

    line: int
    text: str
    names: list[str]
    rest: Chunk
    trouble: str = ""

    def columns(self, kind: Kind, name: str) -> Columns:
        """Where the columns of a kind are.

        Raises:
            StoreUptimeError: some are missing or there twice; names the file and, where it can be
                seen, what is wrong with it.
        """
        if not self.trouble:
            try:
                return find_columns(self.names, kind, name)
            except StoreUptimeError as error:
                raise StoreUptimeError(self._why_not(kind, name) or str(error)) from None
        reason = self._why_not(kind, name)
        raise StoreUptimeError(reason or f"{name}:{self.line}: no header of a CSV: {self.trouble}")

    def _why_not(self, kind: Kind, name: str) -> str | None:
        """What is wrong with the header, where that can be seen."""
        separator = self.separator(kind)
        if separator is not None:
            return f"{name}: columns are separated by {separator}: save it with commas"
        if any(_is_uuid(value) for value in self.names):
            first = ",".join(choice[0] for choice in kind.columns)
            return f"{name}:{self.line}: a row where the header should be: put {first} before it"
        try:
            for position, value in enumerate(self.names):
                _check_utf8(value, position)
        except RecordError as error:
            return f"{name}:{self.line}: no header of a CSV: {error}"
        return None

    def separator(self, kind: Kind) -> str | None:
        """What separates the columns, if it is no comma and the kind's are then there."""
        told = _SEPARATOR_LINE.fullmatch(self.text)
        if told is not None:
            return _SEPARATORS.get(told[1], repr(told[1]))
        for separator, what in _SEPARATORS.items():
            if fits([part.strip(' "') for part in self.text.split(separator)], kind):
                return what
        return None


def _read_header(chunks: Iterator[Chunk]) -> _Header | None:
    for chunk in chunks:
        data = chunk.data
        if chunk.first_line == 1:
            data = data.removeprefix(_BYTE_ORDER_MARK)
        number = chunk.first_line
        start = 0
        while start < len(data):
            end = data.find(b"\n", start) + 1 or len(data)
            line = data[start:end]
            number += 1
            start = end
            names, trouble = _names(line)
            if trouble or (names and names != ["sep=", ""]):
                text = line[:MAX_LINE_BYTES].decode(errors="surrogateescape").strip()
                return _Header(number - 1, text, names, Chunk(number, data[start:]), trouble)
    return None


def _names(line: bytes) -> tuple[list[str], str]:
    """The names of the columns, or why there are none."""
    try:
        return split_line(line), ""
    except RecordError as error:
        return [], str(error)


def kinds_of(path: Path) -> list[Kind]:
    """The kinds whose columns the header of a file has; none for a file without any line.

    Raises:
        StoreUptimeError: unreadable, no CSV, or a CSV of some kind that needs another separator.
    """
    file = LineFile(path)
    try:
        header = _read_header(file.chunks())
    finally:
        file.close()
    if header is None:
        return []
    found = [kind for kind in KINDS.values() if fits(header.names, kind)]
    if not found:
        for kind in KINDS.values():
            if header.separator(kind) is not None:
                header.columns(kind, file.name)
    return found


def fits(names: list[str], kind: Kind) -> bool:
    """Whether a header has the columns of a kind."""
    try:
        find_columns(names, kind, "")
    except StoreUptimeError:
        return False
    return True


def columns_text(columns: Columns, kind: Kind) -> str:
    """A header for the same columns: `find_columns` finds them there again.

    Columns that the kind has no use for are left without a name.
    """
    names = [""] * columns.count
    for position, choice in zip(columns.positions, kind.columns, strict=True):
        names[position] = choice[0]
    return ",".join(names)


def find_columns(names: list[str], kind: Kind, file: str) -> Columns:
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
            raise StoreUptimeError(f"{file}: more than one column {' or '.join(choice)}")
        if found:
            positions += found
        else:
            missing.append(" or ".join(choice))
    if missing:
        shown = ",".join(names)
        raise StoreUptimeError(
            f"{file}: no column {', '.join(missing)} for {kind.name}; the header is {shown[:100]!r}"
        )
    return Columns(len(names), tuple(positions))


def _is_uuid(value: str) -> bool:
    try:
        parse_uuid(value)
    except RecordError:
        return False
    return True


def _plain(name: str) -> str:
    return name.replace(" ", "").replace("_", "").strip().lower()
