"""Joins rows with line breaks in quoted fields, which RFC 4180 allows, on one line each.

One quote too many in a row must not turn the following rows into text of a field. So lines are
joined only if the quotes match within a few lines, the columns are as many as the header has, and
the line break is in a column that is not used. All other lines stay as they are.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from producers.csv_replay.line_file import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_ROW_LINES: Final = 100
"""Most lines of one row."""


@dataclass(frozen=True, slots=True)
class JoinedRows:
    """Lines that are whole rows.

    Attributes:
        data: the lines; the second and later lines of a joined row are blank.
        joined: the original bytes of joined rows, by the index of their first line.
        rest: the last lines, which belong to a row that may continue behind them.
    """

    data: bytes
    joined: dict[int, bytes]
    rest: bytes


def join_rows(data: bytes, count: int, needed: Sequence[int], *, last: bool) -> JoinedRows:
    """Join the rows that have several lines.

    Args:
        data: whole lines.
        count: number of columns in the header.
        needed: the columns (from 0) that must not hold a line break.
        last: True if no lines follow, so that `rest` is empty.
    """
    lines = data.split(b"\n")
    joined: dict[int, bytes] = {}
    done = 0
    for index in [index for index, line in enumerate(lines) if line.count(b'"') % 2]:
        if index < done:
            continue
        row = _Row(lines, index)
        fields = row.fields()
        if fields is None:
            if row.goes_on and not last:
                rest = b"\n".join(lines[index:])
                return JoinedRows(_text(lines[:index]), joined, rest)
            continue
        end = index + row.lines
        if row.lines > 1 and len(fields) == count and not any("\n" in fields[at] for at in needed):
            joined[index] = b"\n".join(lines[index:end])
            lines[index] = b" ".join(line.removesuffix(b"\r") for line in lines[index:end])
            lines[index + 1 : end] = [b""] * (row.lines - 1)
            done = end
    return JoinedRows(b"\n".join(lines), joined, b"")


def _text(lines: Sequence[bytes]) -> bytes:
    return b"\n".join(lines) + b"\n" if lines else b""


class _Row:
    """A row that begins at a line.

    Attributes:
        lines: number of its lines, after `fields` was called.
        goes_on: True if the lines ended within the row.
    """

    def __init__(self, lines: Sequence[bytes], first: int) -> None:
        self._lines = lines
        self._first = first
        self.lines = 0
        self.goes_on = False

    def fields(self) -> list[str] | None:
        """Return the fields, of which only structure is right; None if quotes do not match."""
        reader = csv.reader(self._feed(), strict=True, skipinitialspace=True)
        try:
            fields = next(reader)
        except csv.Error as error:
            self.goes_on &= "unexpected end" in str(error)
            return None
        self.goes_on = False
        self.lines = reader.line_num
        return fields

    def _feed(self) -> Iterator[str]:
        end = min(self._first + MAX_ROW_LINES, len(self._lines))
        size = 0
        for index in range(self._first, end):
            line = self._lines[index]
            size += len(line) + 1
            if size > MAX_LINE_BYTES:
                return
            # latin-1 decodes any byte: quotes, commas and line ends are the same in UTF-8
            yield line.decode("latin-1") + "\n"
        self.goes_on = end == len(self._lines)
