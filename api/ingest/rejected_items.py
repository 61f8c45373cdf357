"""The rejected items of one body, until they become dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stream_app.contracts.dead_letters import KEPT_BYTES, DeadLetter

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEAD_LETTERS: Final = 1_000
"""Rejected items of one body that become a dead letter each; more become one together."""

LISTED_ITEMS: Final = 1_000
"""Rejected items that an answer lists; it only counts the others."""


class _RejectedItem(NamedTuple):
    number: int
    reason: str
    original: bytes
    truncated: bool


class RejectedItems:
    """The rejected items of one body, in bounded memory.

    Attributes:
        count: how many items are rejected.
        listed: the index and the reason of the first ones.

    Args:
        try_reserve: reserves memory for bodies, in bytes; returns False where there is no room.
    """

    def __init__(self, try_reserve: Callable[[int], bool]) -> None:
        self.count = 0
        self.listed: list[dict[str, Any]] = []
        self._try_reserve = try_reserve
        self._items: list[_RejectedItem] = []
        self._items_bytes = 0
        self._all_stored = True
        self._without_dead_letter = 0

    def count_rejected(self, number: int, reason: str) -> None:
        """Count an item of which the worker writes the dead letter."""
        self.count += 1
        if len(self.listed) < LISTED_ITEMS:
            self.listed.append({"index": number, "reason": reason})

    @property
    def is_full(self) -> bool:
        """Return True if the originals of further items are no longer stored."""
        return bool(self._items) and not self._all_stored

    def add(self, number: int, reason: str, original: bytes, *, truncated: bool) -> None:
        """Count an item, and store its original if there is room."""
        self.count_rejected(number, reason)
        self._without_dead_letter += 1
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
            self._items.append(_RejectedItem(number, reason, original, truncated))
            self._items_bytes += cost

    def pop_dead_letters(
        self, source: dict[str, str | int], body: bytes | None, *, accepted: int
    ) -> list[DeadLetter]:
        """Remove the items, and return their dead letters: one an item, or one for all.

        Args:
            source: the source of the request, as dead letters name it.
            body: the whole body, where it is in memory.
            accepted: how many items of the body were accepted.
        """
        items, self._items = self._items, []
        count, self._without_dead_letter = self._without_dead_letter, 0
        if not count:
            return []
        only_item = count == self.count == 1
        if self._all_stored and (accepted or only_item):
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
        """Say the number of rejected items, and the reason of the first one."""
        first = self.listed[0]
        outcome = (
            f"accepted: {accepted:,}, refused: {self.count:,}"
            if accepted
            else f"no item is accepted ({self.count:,} refused)"
        )
        return f"{outcome}; item {first['index']}: {first['reason']}"
