"""Tracks how far a partition is completed whose records are completed in any order.

The worker's positions, the group's commits and the webhooks' commits are all computed here.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Final

MAX_METADATA_CHARACTERS: Final = 3000
"""Longest metadata of one commit; brokers accept 4,096 bytes by default."""

MAX_METADATA_OFFSETS: Final = 20_000
"""Most incomplete offsets that the metadata of one commit names."""

_REPEATS_TO_SHORTEN: Final = 3
_GAPS: Final = r"[0-9]{1,18}(?:x[0-9]{1,6})?"
_METADATA: Final = re.compile(rf"([0-9]{{1,18}}):({_GAPS}(?:,{_GAPS})*)?")


class OffsetTracker:
    """Knows the offset below which everything is completed.

    Records are started in the order of their offsets and completed in any order. Offsets may have
    gaps: compaction and transaction markers leave some.

    Args:
        start: the next offset to come.
    """

    def __init__(self, start: int) -> None:
        self._next = start
        # a dictionary keeps the order of insertion: its first key is the lowest
        self._incomplete: dict[int, None] = {}

    @property
    def position(self) -> int:
        """Return the offset below which everything is completed."""
        return next(iter(self._incomplete), self._next)

    @property
    def next_offset(self) -> int:
        """Return the next offset to start: all records below it are started, or completed."""
        return self._next

    @property
    def idle(self) -> bool:
        """Return True if everything that was started is completed."""
        return not self._incomplete

    def start(self, offset: int, end: int | None = None) -> bool:
        """Start the records `[offset, end)`, or the one at `offset`.

        Records below the next offset were started before, and change nothing.

        Returns:
            whether they are to be completed; False if they were completed before.
        """
        if offset >= self._next:
            self._incomplete[offset] = None
            self._next = offset + 1 if end is None else end
        return offset in self._incomplete

    def complete(self, offset: int) -> None:
        """Complete the records that were started at this offset."""
        self._incomplete.pop(offset, None)

    def skip_to(self, offset: int) -> None:
        """Go on at this offset: nothing below it will come any more."""
        self._next = max(self._next, offset)


class ResumableOffsetTracker(OffsetTracker):
    """Remembers across owners of a partition also what is completed beyond an incomplete record.

    Kafka keeps one offset for a partition, below which all is done, and a little text with it: the
    metadata of the commit. Here the metadata names what is incomplete beyond that offset. So a
    record that takes a day does not make its neighbours, which are long completed, come again
    whenever the partition moves.

    Args:
        committed: the committed offset: everything below it is completed.
        metadata: the text that was committed with it; if it is empty or not
            understood, nothing more is known.
    """

    def __init__(self, committed: int, metadata: str = "") -> None:
        super().__init__(committed)
        # what an earlier owner committed: below `_inherited_end` all but these is completed
        self._inherited, self._inherited_end = _decode(committed, metadata)
        # asked for four times a second, also while nothing happens and much is incomplete
        self._metadata: str | None = None

    @property
    def position(self) -> int:
        """Return the offset below which everything is completed."""
        if self._incomplete:
            return next(iter(self._incomplete))
        to_come = [offset for offset in self._inherited if offset >= self._next]
        return min(to_come, default=max(self._next, self._inherited_end))

    @property
    def metadata(self) -> str:
        """Return the completed offsets beyond `position` as text; of a long text the first part."""
        if self._metadata is None:
            self._metadata = self._encode()
        return self._metadata

    def start(self, offset: int, end: int | None = None) -> bool:
        """Start the records `[offset, end)`, or the one at `offset`.

        Returns:
            whether they are to be completed; False if they were, by this owner or an earlier one.
        """
        if offset < self._next:
            return offset in self._incomplete
        self._metadata = None
        if offset < self._inherited_end and offset not in self._inherited:
            self._next = offset + 1 if end is None else end
            return False
        return super().start(offset, end)

    def complete(self, offset: int) -> None:
        """Complete the records that were started at this offset."""
        super().complete(offset)
        self._metadata = None

    def skip_to(self, offset: int) -> None:
        """Go on at this offset: nothing below it will come any more."""
        super().skip_to(offset)
        self._metadata = None

    def _encode(self) -> str:
        to_come = sorted(offset for offset in self._inherited if offset >= self._next)
        end = max(self._next, self._inherited_end)
        start = last = self.position
        if start == end:
            return ""
        parts: list[str] = []
        length = len(str(end - start))
        gap, times = -1, 0
        for count, offset in enumerate(chain(self._incomplete, to_come), 1):
            if offset - last != gap:
                parts += _repeated(gap, times)
                length += _length(gap, times)
                gap, times = offset - last, 0
            if (
                count > MAX_METADATA_OFFSETS
                or length + _length(gap, times + 1) > MAX_METADATA_CHARACTERS
            ):
                # completed records beyond this one are read again
                end = offset
                break
            times += 1
            last = offset
        return f"{end - start}:{','.join((*parts, *_repeated(gap, times)))}"


def _repeated(gap: int, times: int) -> list[str]:
    """Write a gap between incomplete offsets `times` times; in short where that is often."""
    return [str(gap)] * times if times < _REPEATS_TO_SHORTEN else [f"{gap}x{times}"]


def _length(gap: int, times: int) -> int:
    return sum(1 + len(text) for text in _repeated(gap, times))


def _decode(committed: int, metadata: str) -> tuple[set[int], int]:
    """Read the incomplete offsets in a commit's metadata, and the offset behind all of them."""
    match = _METADATA.fullmatch(metadata)
    if match is None:
        return set(), committed
    end = committed + int(match[1])
    incomplete: set[int] = set()
    last = committed
    for part in (match[2] or "").split(","):
        gap, _, times = part.partition("x")
        for _ in range(int(times or 1) if gap else 0):
            last += int(gap)
            if last > end or len(incomplete) > MAX_METADATA_OFFSETS:
                # `_encode` never writes this
                return set(), committed
            incomplete.add(last)
    return incomplete, end
