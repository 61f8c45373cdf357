"""What became of the pings that were sent, as one place that everyone tells and asks."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from producers.simulator.model import Ping

LATENCIES_KEPT: Final = 10_000
INCIDENTS_KEPT: Final = 8


@dataclass(slots=True)
class PingCounts:
    """Pings.

    Attributes:
        sent: handed over to be sent.
        acknowledged: held by the brokers, and taken.
        refused: answered with a reason why they are not taken.
        failed: given up for another reason.
        retried: attempts beyond the first, of single pings.
    """

    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    failed: int = 0
    retried: int = 0


@dataclass(frozen=True, slots=True)
class Incident:
    """A store went down or came up, by the time that its ping is stamped with (µs)."""

    store: int
    instant: int
    active: bool


class Tally:
    """Counts, latencies and the stores as their acknowledged pings show them.

    Args:
        record: called with every ping that was acknowledged.
        monotonic: a clock in seconds that never goes back.

    Attributes:
        counts: how many.
        open: the pings that were sent and not answered yet.
        incidents: the last ones, the newest first.
        down: the stores that are down, and since which instant (µs).
        refusal: store and reason of the last refusal.
        trouble: why the last attempt that has to be repeated did not go through.
        behind: seconds by which the last ping was sent late because there was no room.
    """

    def __init__(self, record: Callable[[Ping], None], monotonic: Callable[[], float]) -> None:
        self.counts = PingCounts()
        self.open: set[Ping] = set()
        self.incidents: deque[Incident] = deque(maxlen=INCIDENTS_KEPT)
        self.down: dict[int, int] = {}
        self.refusal: tuple[int, str] | None = None
        self.trouble = ""
        self.behind = 0.0
        self._record = record
        self._monotonic = monotonic
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._last: dict[int, tuple[int, bool]] = {}
        self._moved = monotonic()

    @property
    def stores(self) -> int:
        """How many stores were heard."""
        return len(self._last)

    def send(self, pings: Iterable[Ping]) -> None:
        """These are being sent."""
        if not self.open:
            self._moved = self._monotonic()
        before = len(self.open)
        self.open.update(pings)
        self.counts.sent += len(self.open) - before

    def acknowledge(self, pings: Iterable[Ping], seconds: float) -> None:
        """These are held and taken, so many seconds after they were sent."""
        for ping in pings:
            self.open.discard(ping)
            self.counts.acknowledged += 1
            self._record(ping)
            self._latencies.append(seconds)
            self._follow(ping)
        self._moved = self._monotonic()

    def refuse(self, ping: Ping, reason: str) -> None:
        """This one was answered with a reason why it is not taken."""
        self.open.discard(ping)
        self.counts.refused += 1
        self.refusal = (ping.store, reason)
        self._moved = self._monotonic()

    def fail(self, pings: Sequence[Ping], reason: str) -> None:
        """These are given up."""
        self.open.difference_update(pings)
        self.counts.failed += len(pings)
        self.trouble = reason

    def retry(self, pings: Sequence[Ping], reason: str) -> None:
        """These are sent once more."""
        self.counts.retried += len(pings)
        self.trouble = reason

    def silence(self) -> float:
        """Seconds since the last answer, while any is awaited; 0 while none is."""
        return self._monotonic() - self._moved if self.open else 0.0

    def latency(self, quantile: float) -> float | None:
        """Seconds to the acknowledgement, of the last LATENCIES_KEPT pings."""
        if not self._latencies:
            return None
        ordered = sorted(self._latencies)
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]

    def _follow(self, ping: Ping) -> None:
        # a late ping tells nothing about now
        instant, active = self._last.get(ping.store, (-1, True))
        if ping.instant <= instant:
            return
        self._last[ping.store] = (ping.instant, ping.active)
        if ping.active == active:
            return
        self.incidents.appendleft(Incident(ping.store, ping.instant, ping.active))
        if ping.active:
            self.down.pop(ping.store, None)
        else:
            self.down[ping.store] = ping.instant
