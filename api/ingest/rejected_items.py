"""The rejected items of one body, until they become dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stream_app.contracts.dead_letters import KEPT_BYTES, DeadLetter

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEAD_LETTERS: Final = 1_000
"""Refused items of a body that are dead letters of their own; more are one together."""

LISTED_ITEMS: Final = 1_000
"""Refused items that an answer lists; the others it only counts."""


class _Refused(NamedTuple):
    number: int
    reason: str
    original: bytes
    truncated: bool


class RefusedItems:
    """The rejected items of one body, in bounded memory.

    Attributes:
        count: how many items were refused.
        listed: the first of them, by index and reason.

    Args:
        try_reserve: takes bytes of the memory for bodies, or says that there is no room.
    """

    def __init__(self, try_reserve: Callable[[int], bool]) -> None:
        self.count = 0
        self.listed: list[dict[str, Any]] = []
        self._try_reserve = try_reserve
        self._items: list[_Refused] = []
        self._items_bytes = 0
        self._all_stored = True
        self._ours = 0

    def count_rejected(self, number: int, reason: str) -> None:
        """Count an item for which the worker writes the dead letter."""
        self.count += 1
        if len(self.listed) < LISTED_ITEMS:
            self.listed.append({"index": number, "reason": reason})

    @property
    def is_full(self) -> bool:
        """Return True if the originals of further items are no longer stored."""
        return bool(self._items) and not self._all_stored

    def add(self, number: int, reason: str, original: bytes, *, truncated: bool) -> None:
        """Count an item, and keep it if there is room."""
        self.count_rejected(number, reason)
        self._ours += 1
        if self.is_full:
            return
        cost = len(original) + len(reason)
        self._all_stored = (
            self._all_stored
            and len(self._items) < MAX_DEAD_LETTERS
            and self._items_bytes + cost <= KEPT_BYTES
            and self._try_reserve(cost)
        )
        if self._all_stored or not self._items:
            self._items.append(_Refused(number, reason, original, truncated))
            self._items_bytes += cost

    def dead_letters(
        self, source: dict[str, str | int], body: bytes | None, *, accepted: int
    ) -> list[DeadLetter]:
        """Take the dead letters out: one an item, or one for all.

        Args:
            source: of the request.
            body: all of it, where it is at hand.
            accepted: how many items of it were accepted.
        """
        items, self._items = self._items, []
        ours, self._ours = self._ours, 0
        if not ours:
            return []
        alone = ours == self.count == 1
        if self._all_stored and (accepted or alone):
            return [
                DeadLetter(
                    {**source, "item": item.number},
                    item.reason,
                    item.original,
                    truncated=item.truncated,
                )
                for item in items
            ]
        original = b"\n".join(item.original for item in items)
        whole = self._all_stored and not any(item.truncated for item in items)
        if body is not None and not accepted:
            original, whole = body[:KEPT_BYTES], len(body) <= KEPT_BYTES
        return [DeadLetter(source, self.summary(accepted), original, truncated=not whole)]

    def summary(self, accepted: int) -> str:
        """Say the number of refused items, and the reason of the first one."""
        first = self.listed[0]
        outcome = (
            f"accepted: {accepted:,}, refused: {self.count:,}"
            if accepted
            else f"no item is accepted ({self.count:,} refused)"
        )
        return f"{outcome}; item {first['index']}: {first['reason']}"
