"""How far a partition of webhooks is finished with, also beyond one that is late.

Kafka keeps one offset a partition, below which all is done, and a little text with it. The text
names what is open beyond that offset, so that a webhook that is tried for a day does not make
its neighbours, which are long delivered, come again whenever the partition moves.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Final

MAX_TEXT: Final = 3000
"""Characters; brokers take 4,096 bytes unless they are told otherwise."""

MAX_OPEN_TOLD: Final = 20_000
"""Open offsets that the text names."""

_OFTEN: Final = 3
_GAPS: Final = r"[0-9]{1,18}(?:x[0-9]{1,6})?"
_TEXT: Final = re.compile(rf"([0-9]{{1,18}}):({_GAPS}(?:,{_GAPS})*)?")


class Ledger:
    """Records are begun in the order of their offsets and finished in any order.

    Args:
        offset: what was committed: all below it is finished.
        text: what was committed with it; empty or not understood: nothing more is known.
    """

    def __init__(self, offset: int, text: str = "") -> None:
        self._next = offset
        # a dictionary keeps the order of insertion: its first key is the lowest
        self._open: dict[int, None] = {}
        # what an earlier owner told: below `_told_end` all is finished but `_told_open`
        self._told_open, self._told_end = _read(offset, text)
        # asked for four times a second, also while nothing happens and much is open
        self._text: str | None = None

    @property
    def offset(self) -> int:
        """Everything below it is finished."""
        if self._open:
            return next(iter(self._open))
        told = [offset for offset in self._told_open if offset >= self._next]
        return min(told, default=max(self._next, self._told_end))

    @property
    def text(self) -> str:
        """What is finished beyond `offset`; where it is too long, the first part of it."""
        if self._text is None:
            self._text = self._new_text()
        return self._text

    def _new_text(self) -> str:
        later = sorted(offset for offset in self._told_open if offset >= self._next)
        end = max(self._next, self._told_end)
        start = last = self.offset
        if start == end:
            return ""
        told: list[str] = []
        length = len(str(end - start))
        gap, times = -1, 0
        for count, offset in enumerate(chain(self._open, later), 1):
            if offset - last != gap:
                told += _gaps(gap, times)
                length += _length(gap, times)
                gap, times = offset - last, 0
            if count > MAX_OPEN_TOLD or length + _length(gap, times + 1) > MAX_TEXT:
                # what is finished beyond this one comes again
                end = offset
                break
            times += 1
            last = offset
        return f"{end - start}:{','.join((*told, *_gaps(gap, times)))}"

    def begin(self, offset: int) -> bool:
        """A record is in hand; False: it has been finished with before."""
        if offset < self._next:
            return offset in self._open
        self._next = offset + 1
        self._text = None
        if offset < self._told_end and offset not in self._told_open:
            return False
        self._open[offset] = None
        return True

    def finish(self, offset: int) -> None:
        """This record is finished with."""
        self._open.pop(offset, None)
        self._text = None


def _gaps(gap: int, times: int) -> list[str]:
    """A gap between open offsets, as often as it comes; in short where it comes often."""
    return [str(gap)] * times if times < _OFTEN else [f"{gap}x{times}"]


def _length(gap: int, times: int) -> int:
    return sum(1 + len(text) for text in _gaps(gap, times))


def _read(start: int, text: str) -> tuple[set[int], int]:
    match = _TEXT.fullmatch(text)
    if match is None:
        return set(), start
    end = start + int(match[1])
    found: set[int] = set()
    last = start
    for part in (match[2] or "").split(","):
        gap, _, times = part.partition("x")
        for _ in range(int(times or 1) if gap else 0):
            last += int(gap)
            if last > end or len(found) > MAX_OPEN_TOLD:
                # not what this writes
                return set(), start
            found.add(last)
    return found, end
