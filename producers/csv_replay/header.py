"""The header of a CSV file: where its columns are, which kind it tells, what is wrong with it."""

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
"""What stands between the columns of files that are separated by no comma."""

_SEPARATOR_LINE: Final = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
"""The first line of a file that is written for Excel."""


@dataclass(frozen=True, slots=True)
class Header:
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
                check_utf8(value, position)
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


def read_header(chunks: Iterator[Chunk]) -> Header | None:
    """The header of a file, read from its chunks; None: it has no line.

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
            names, trouble = _names(line)
            if trouble or (names and names != ["sep=", ""]):
                text = line[:MAX_LINE_BYTES].decode(errors="surrogateescape").strip()
                return Header(number - 1, text, names, Chunk(number, data[start:]), trouble)
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
        header = read_header(file.chunks())
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
