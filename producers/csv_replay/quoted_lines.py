"""Rows with line breaks in quoted fields, as RFC 4180 allows them, put onto one line each.

A quote too many in one row must not make text of the rows behind it, so only what is surely meant
is joined: the quotes match within a few lines, the columns are as many as the header has, and the
line break is in a column that is of no use here. All else stays as it is, line by line.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from producers.csv_replay.line_file import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_ROW_LINES: Final = 100
"""Lines that one row may have."""


@dataclass(frozen=True, slots=True)
class JoinedRows:
    """Lines of which each is a whole row.

    Attributes:
        data: the lines; of a row that had several, the others are blank.
        joined: the bytes of such rows as they were, by the index of their first line.
        rest: the last lines, of a row that may go on behind them.
    """

    data: bytes
    joined: dict[int, bytes]
    rest: bytes


def join_rows(data: bytes, count: int, needed: Sequence[int], *, last: bool) -> JoinedRows:
    """Put the rows of some lines onto one line each.

    Args:
        data: whole lines.
        count: columns of the header.
        needed: the columns (from 0) that can hold no line break.
        last: there are no lines behind them, so that nothing is left as `rest`.
    """
    if b'"' not in data:
        return JoinedRows(data, {}, b"")
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
    """A row that begins with a line.

    Attributes:
        lines: how many it has, once `fields` has read them.
        goes_on: the lines ended before it did.
    """

    def __init__(self, lines: Sequence[bytes], first: int) -> None:
        self._lines = lines
        self._first = first
        self.lines = 0
        self.goes_on = False

    def fields(self) -> list[str] | None:
        """Its values, of which only the structure counts; None where its quotes do not match."""
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
            # any byte is a letter: quotes, commas and line ends are the same in UTF-8
            yield line.decode("latin-1") + "\n"
        self.goes_on = end == len(self._lines)
