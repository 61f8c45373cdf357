"""How far a partition of webhooks is finished with, also beyond one that is late.

Kafka keeps one offset a partition, below which all is done, and a little text with it. The text
names what is open beyond that offset, so that a webhook that is tried for a day does not make
its neighbours, which are long delivered, come again whenever the partition moves.
"""

from __future__ import annotations

import re
from typing import Final

MAX_TEXT: Final = 3000
"""Characters; brokers take 4,096 bytes unless they are told otherwise."""

_TEXT: Final = re.compile(r"([0-9]{1,18}):([0-9]{1,18}(?:,[0-9]{1,18})*)?")


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
        later = sorted(offset for offset in self._told_open if offset >= self._next)
        end = max(self._next, self._told_end)
        start = last = self.offset
        if start == end:
            return ""
        gaps: list[str] = []
        length = len(str(end - start))
        for offset in (*self._open, *later):
            gap = str(offset - last)
            length += 1 + len(gap)
            if length > MAX_TEXT:
                # what is finished beyond this one comes again
                end = offset
                break
            gaps.append(gap)
            last = offset
        return f"{end - start}:{','.join(gaps)}"

    def begin(self, offset: int) -> bool:
        """A record is in hand; False: it has been finished with before."""
        if offset < self._next:
            return offset in self._open
        self._next = offset + 1
        if offset < self._told_end and offset not in self._told_open:
            return False
        self._open[offset] = None
        return True

    def finish(self, offset: int) -> None:
        """This record is finished with."""
        self._open.pop(offset, None)


def _read(start: int, text: str) -> tuple[set[int], int]:
    match = _TEXT.fullmatch(text)
    if match is None:
        return set(), start
    found = set()
    last = start
    for gap in (match[2] or "").split(","):
        if gap:
            last += int(gap)
            found.add(last)
    return found, start + int(match[1])
