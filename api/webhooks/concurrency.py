"""Limits how many webhooks are tried at once, and the share of them for one place.

A place is a host and port. Of one that answers nothing, all webhooks are late: without a share
they would fill the room, and those of all others would wait behind them. What goes beyond its share
stays in Kafka; here only its offset is kept, and it is read again once its place has room.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiokafka import TopicPartition

FREE_ROOM_SHARE: Final = 9
"""A place may have one part in so many of the room that is free: a tenth of it all if it is alone.

However many places answer nothing, together they leave room for one more.
"""

MAX_WAITING: Final = 100_000
"""Offsets that are kept of webhooks beyond the share of their place: some 20 MB."""

Waiting = tuple["TopicPartition", int]
"""The partition and offset of a webhook that waits."""


@dataclass(slots=True)
class _Place:
    running: int = 0
    waiting: deque[Waiting] = field(default_factory=deque)


class Shares:
    """Admits webhooks up to the limits, and remembers the offsets of those that wait.

    Args:
        most: webhooks that are tried at once, one of each further place aside.
        most_waiting: offsets that are kept.

    Attributes:
        running: webhooks that have a place in the room.
        waiting: webhooks of which the offset is kept.
    """

    def __init__(self, most: int, most_waiting: int = MAX_WAITING) -> None:
        self._most = most
        self._most_waiting = most_waiting
        self._places: dict[str, _Place] = {}
        self.running = 0
        self.waiting = 0

    @property
    def limit(self) -> int:
        """Return the number of webhooks of one place that may run now."""
        if self.running >= 2 * self._most:
            return 0
        return max(1, (self._most - self.running) // FREE_ROOM_SHARE)

    def enter(self, place: str) -> bool:
        """Take room for a webhook; False: its place has had its share, or others wait for it."""
        known = self._places.get(place, _Place())
        if known.waiting or known.running >= self.limit:
            return False
        known.running += 1
        self.running += 1
        self._places[place] = known
        return True

    def leave(self, place: str) -> None:
        """Give the room of a webhook back."""
        known = self._places[place]
        known.running -= 1
        self.running -= 1
        self._forget_if_empty(place)

    def wait(self, place: str, partition: TopicPartition, offset: int) -> bool:
        """Remember the offset of a webhook that waits; False: too many wait."""
        if self.waiting >= self._most_waiting:
            return False
        self._places.setdefault(place, _Place()).waiting.append((partition, offset))
        self.waiting += 1
        return True

    def has_room(self, place: str) -> bool:
        """Return whether waiting webhooks of a place can be read again, half a share at a time."""
        known = self._places.get(place)
        return known is not None and self._room(known) > 0

    def _room(self, known: _Place) -> int:
        """Return how many of those that wait may run now; 0 where it is not worth a read."""
        limit = self.limit
        room = min(limit - known.running, len(known.waiting))
        return room if room >= min(len(known.waiting), max(1, limit // 2)) else 0

    def admit_waiting(self) -> Iterator[tuple[str, list[Waiting]]]:
        """Yield the waiting webhooks that may run now, by place; they count as running."""
        for place, known in list(self._places.items()):
            room = self._room(known)
            if room > 0:
                admitted = [known.waiting.popleft() for _ in range(room)]
                self.waiting -= room
                known.running += room
                self.running += room
                yield place, admitted

    def put_back(self, place: str, admitted: list[Waiting]) -> None:
        """Let admitted webhooks wait again, before all others; they no longer count as running."""
        known = self._places[place]
        known.waiting.extendleft(reversed(admitted))
        known.running -= len(admitted)
        self.waiting += len(admitted)
        self.running -= len(admitted)

    def forget(self, partition: TopicPartition) -> None:
        """Drop the offsets of a partition that was revoked."""
        for place, known in list(self._places.items()):
            others = deque(waiting for waiting in known.waiting if waiting[0] != partition)
            self.waiting -= len(known.waiting) - len(others)
            known.waiting = others
            self._forget_if_empty(place)

    def crowded(self) -> int:
        """Return how many places have webhooks that wait."""
        return sum(bool(known.waiting) for known in self._places.values())

    def _forget_if_empty(self, place: str) -> None:
        known = self._places[place]
        if not known.running and not known.waiting:
            del self._places[place]
