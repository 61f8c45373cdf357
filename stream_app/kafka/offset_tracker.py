"""The offset below which all records of a partition are finished with."""

from __future__ import annotations


class OffsetTracker:
    """Records are begun in the order of their offsets and finished in any order.

    Offsets may have holes: compaction and transaction markers leave some.

    Args:
        start: the next offset to come.
    """

    def __init__(self, start: int) -> None:
        self._next = start
        # a dictionary keeps the order of insertion: its first key is the lowest
        self._open: dict[int, None] = {}

    @property
    def position(self) -> int:
        """Everything below it is finished."""
        return next(iter(self._open), self._next)

    @property
    def next_offset(self) -> int:
        """The next offset to begin: all records below it are begun, or finished."""
        return self._next

    @property
    def idle(self) -> bool:
        """Whether everything begun is finished."""
        return not self._open

    def start(self, offset: int, end: int | None = None) -> None:
        """Records are in hand: those of `[offset, end)`, or the one at `offset`.

        What comes again below the next offset changes nothing.
        """
        if offset >= self._next:
            self._open[offset] = None
            self._next = offset + 1 if end is None else end

    def complete(self, offset: int) -> None:
        """The records that began at this offset are finished with."""
        self._open.pop(offset, None)

    def skip_to(self, offset: int) -> None:
        """Nothing below this offset will come any more."""
        self._next = max(self._next, offset)
