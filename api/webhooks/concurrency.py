"""Limits how many webhooks are tried at once, and the share of each receiver among them.

A receiver is a scheme, host and port. All webhooks to a receiver that answers nothing take long:
without a limit for each receiver they would use all of the room, and the webhooks to all others
would wait behind them. A webhook beyond the limit is deferred: it stays in Kafka, only its offset
is stored here, and it is read again once its receiver has room.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiokafka import TopicPartition

FREE_ROOM_SHARE: Final = 9
"""One receiver may use a ninth of the free room: if it is the only one, a tenth of all room.

However many receivers answer nothing, together they leave room for one more.
"""

MAX_DEFERRED: Final = 100_000
"""Offsets of deferred webhooks that are stored, in about 20 MB."""

Deferred = tuple["TopicPartition", int]
"""The partition and the offset of a deferred webhook."""


@dataclass(slots=True)
class _Receiver:
    running: int = 0
    deferred: deque[Deferred] = field(default_factory=deque)


class ConcurrencyLimiter:
    """Admits webhooks up to the limits, and stores the offsets of deferred ones.

    Args:
        max_running: webhooks that are tried at once; one to each further receiver may be added.
        max_deferred: offsets that are stored.

    Attributes:
        running: the number of admitted webhooks that have not ended.
        deferred: the number of webhooks whose offset is stored.
    """

    def __init__(self, max_running: int, max_deferred: int = MAX_DEFERRED) -> None:
        self._max_running = max_running
        self._max_deferred = max_deferred
        self._receivers: dict[str, _Receiver] = {}
        self.running = 0
        self.deferred = 0

    @property
    def limit(self) -> int:
        """Return the number of webhooks to one receiver that may run now."""
        if self.running >= 2 * self._max_running:
            return 0
        return max(1, (self._max_running - self.running) // FREE_ROOM_SHARE)

    def acquire(self, receiver: str) -> bool:
        """Admit a webhook; False if its receiver is at its limit, or has deferred webhooks."""
        state = self._receivers.get(receiver, _Receiver())
        if state.deferred or state.running >= self.limit:
            return False
        state.running += 1
        self.running += 1
        self._receivers[receiver] = state
        return True

    def release(self, receiver: str) -> None:
        """Count an admitted webhook as ended."""
        self._receivers[receiver].running -= 1
        self.running -= 1
        self._drop_if_idle(receiver)

    def defer(self, receiver: str, partition: TopicPartition, offset: int) -> bool:
        """Store the offset of a webhook that was not admitted; False if too many are stored."""
        if self.deferred >= self._max_deferred:
            return False
        self._receivers.setdefault(receiver, _Receiver()).deferred.append((partition, offset))
        self.deferred += 1
        return True

    def can_resume(self, receiver: str) -> bool:
        """Return whether deferred webhooks of a receiver can run now; see `_room`."""
        state = self._receivers.get(receiver)
        return state is not None and self._room(state) > 0

    def _room(self, state: _Receiver) -> int:
        """Return how many deferred webhooks may run now.

        It is 0 if neither half of the limit nor all of them may run: a read should give several.
        """
        limit = self.limit
        room = min(limit - state.running, len(state.deferred))
        return room if room >= min(len(state.deferred), max(1, limit // 2)) else 0

    def admit_deferred(self) -> Iterator[tuple[str, list[Deferred]]]:
        """Yield the deferred webhooks that may run now, by receiver; they count as running."""
        for receiver, state in list(self._receivers.items()):
            room = self._room(state)
            if room > 0:
                admitted = [state.deferred.popleft() for _ in range(room)]
                self.deferred -= room
                state.running += room
                self.running += room
                yield receiver, admitted

    def put_back(self, receiver: str, admitted: list[Deferred]) -> None:
        """Defer admitted webhooks again, before all others; they no longer count as running."""
        state = self._receivers[receiver]
        state.deferred.extendleft(reversed(admitted))
        state.running -= len(admitted)
        self.deferred += len(admitted)
        self.running -= len(admitted)

    def drop_partition(self, partition: TopicPartition) -> None:
        """Drop the offsets of a partition that was revoked."""
        for receiver, state in list(self._receivers.items()):
            others = deque(deferred for deferred in state.deferred if deferred[0] != partition)
            self.deferred -= len(state.deferred) - len(others)
            state.deferred = others
            self._drop_if_idle(receiver)

    def crowded(self) -> int:
        """Return how many receivers have deferred webhooks."""
        return sum(bool(state.deferred) for state in self._receivers.values())

    def _drop_if_idle(self, receiver: str) -> None:
        state = self._receivers[receiver]
        if not state.running and not state.deferred:
            del self._receivers[receiver]
