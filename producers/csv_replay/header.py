"""Reads the header of a CSV file: the positions of its columns, its kind, its faults."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from producers.csv_replay.line_file import MAX_LINE_BYTES, Chunk, LineFile
from producers.csv_replay.table import KINDS, Columns, Kind, check_utf8, split_line
from stream_app.contracts.fields import parse_uuid
from stream_app.errors import RecordError, StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_SEPARATORS: Final = {";": "';'", "\t": "tabs", "|": "'|'"}
"""Separators of columns other than the comma, with the words for them."""

_SEPARATOR_LINE: Final = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
"""A first line for Excel that names the separator."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a file that is not blank.

    Attributes:
        line: its number, from 1.
        text: its text as it is in the file.
        names: the names of the columns, if commas separate them.
        rest: the lines after it, as far as they were read.
        error: the reason why it is no row of a CSV; empty if it is one.
    """

    line: int
    text: str
    names: list[str]
    rest: Chunk
    error: str = ""

    def columns(self, kind: Kind, name: str) -> Columns:
        """Return the positions of the columns of a kind.

        Raises:
            StoreUptimeError: a column is missing or occurs twice; the message names the file and,
                if it is known, the fault of the header.
        """
        if not self.error:
            try:
                return find_columns(self.names, kind, name)
            except StoreUptimeError as error:
                raise StoreUptimeError(self._why_not(kind, name) or str(error)) from None
        reason = self._why_not(kind, name)
        raise StoreUptimeError(reason or f"{name}:{self.line}: no header of a CSV: {self.error}")

    def _why_not(self, kind: Kind, name: str) -> str | None:
        """Return the fault of the header, if it is a known one."""
        separator = self.separator(kind)
        if separator is not None:
            return f"{name}: columns are separated by {separator}: save it with commas"
        if any(_is_uuid(value) for value in self.names):
            first = ",".join(choice[0] for choice in kind.columns)
            return f"{name}:{self.line}: a row where the header should be: put {first} above it"
        try:
            for position, value in enumerate(self.names):
                check_utf8(value, position)
        except RecordError as error:
            return f"{name}:{self.line}: no header of a CSV: {error}"
        return None

    def separator(self, kind: Kind) -> str | None:
        """Return the separator, if it is no comma and the header then has the columns of a kind."""
        line = _SEPARATOR_LINE.fullmatch(self.text)
        if line is not None:
            return _SEPARATORS.get(line[1], repr(line[1]))
        for separator, words in _SEPARATORS.items():
            if has_columns([part.strip(' "') for part in self.text.split(separator)], kind):
                return words
        return None


def read_header(chunks: Iterator[Chunk]) -> Header | None:
    """Read the header from the chunks of a file; None for a file without any line.

    Raises:
        StoreUptimeError: the file cannot be read.
    """
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
            names, error = _names(line)
            if error or (names and names != ["sep=", ""]):
                text = line[:MAX_LINE_BYTES].decode(errors="surrogateescape").strip()
                return Header(number - 1, text, names, Chunk(number, data[start:]), error)
    return None


def _names(line: bytes) -> tuple[list[str], str]:
    """Return the names of the columns, or the reason why there are none."""
    try:
        return split_line(line), ""
    except RecordError as error:
        return [], str(error)


def kinds_of(path: Path) -> list[Kind]:
    """Return the kinds whose columns the header has; none for a file without any line.

    Raises:
        StoreUptimeError: the file is unreadable or no CSV, or commas do not separate its columns.
    """
    file = LineFile(path)
    try:
        header = read_header(file.chunks())
    finally:
        file.close()
    if header is None:
        return []
    kinds = [kind for kind in KINDS.values() if has_columns(header.names, kind)]
    if not kinds:
        for kind in KINDS.values():
            if header.separator(kind) is not None:
                header.columns(kind, file.name)
    return kinds


def has_columns(names: list[str], kind: Kind) -> bool:
    """Return True if a header has the columns of a kind."""
    try:
        find_columns(names, kind, "")
    except StoreUptimeError:
        return False
    return True


def columns_text(columns: Columns, kind: Kind) -> str:
    """Write a header from which `find_columns` gives the same columns.

    Columns that the kind does not use have an empty name.
    """
    names = [""] * columns.count
    for position, choice in zip(columns.positions, kind.columns, strict=True):
        names[position] = choice[0]
    return ",".join(names)


def find_columns(names: list[str], kind: Kind, file: str) -> Columns:
    """Return the positions of the columns of a kind; order, case and spaces do not matter.

    Raises:
        StoreUptimeError: a column is missing or occurs twice; the message names the file.
    """
    plain = [_plain(name) for name in names]
    positions = []
    missing = []
    for choice in kind.columns:
        possible = {_plain(name) for name in choice}
        matches = [position for position, name in enumerate(plain) if name in possible]
        if len(matches) > 1:
            raise StoreUptimeError(f"{file}: more than one column {' or '.join(choice)}")
        if matches:
            positions += matches
        else:
            missing.append(" or ".join(choice))
    if missing:
        shown = ",".join(names)
        raise StoreUptimeError(
            f"{file}: no column {', '.join(missing)} for {kind.words}; the header is "
            f"{shown[:100]!r}"
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
