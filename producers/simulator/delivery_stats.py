"""Delivery statistics of a simulation: counts, latencies and the last status of each store."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from producers.simulator.model import Ping

MAX_LATENCIES: Final = 10_000
"""Quantiles are computed from the latencies of the newest pings, at most this many."""

MAX_STATUS_CHANGES: Final = 8
"""Newest status changes that a view can show."""


@dataclass(slots=True)
class PingCounts:
    """Counts of pings by the outcome of their delivery.

    Attributes:
        sent: all pings that were handed to a sink.
        acknowledged: pings that the product has accepted and the brokers hold.
        rejected: pings that the product has rejected, with a reason.
        failed: pings that failed for another reason, and that the sink does not send again.
        retried: attempts beyond the first, counted for each ping.
    """

    sent: int = 0
    acknowledged: int = 0
    rejected: int = 0
    failed: int = 0
    retried: int = 0


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A store went down or came up at the instant (µs) of its ping."""

    store: int
    instant: int
    active: bool


class DeliveryStats:
    """Counts the pings that a sink sends, measures latencies and follows each store's status.

    Args:
        on_acknowledged: called with every ping that was acknowledged.
        monotonic: a clock in seconds that never goes back.

    Attributes:
        counts: the pings by outcome.
        in_flight: the pings that were sent and have no answer yet.
        status_changes: the last ones, the newest first.
        down_since: the stores that are down, each with the instant (µs) at which it went down.
        last_rejection: store and reason of the last rejected ping.
        last_error: the reason of the last failed attempt.
        seconds_behind: delay of the last ping that was sent late because the sink was full.
    """

    def __init__(
        self, on_acknowledged: Callable[[Ping], None], monotonic: Callable[[], float]
    ) -> None:
        self.counts = PingCounts()
        self.in_flight: set[Ping] = set()
        self.status_changes: deque[StatusChange] = deque(maxlen=MAX_STATUS_CHANGES)
        self.down_since: dict[int, int] = {}
        self.last_rejection: tuple[int, str] | None = None
        self.last_error = ""
        self.seconds_behind = 0.0
        self._on_acknowledged = on_acknowledged
        self._monotonic = monotonic
        self._latencies: deque[float] = deque(maxlen=MAX_LATENCIES)
        self._last_status: dict[int, tuple[int, bool]] = {}
        self._last_answer = monotonic()

    @property
    def stores_heard(self) -> int:
        """Return the number of stores of which at least one ping was acknowledged."""
        return len(self._last_status)

    def record_sent(self, pings: Iterable[Ping]) -> None:
        """Count pings as sent: in flight until they are acknowledged, rejected or failed."""
        if not self.in_flight:
            self._last_answer = self._monotonic()
        before = len(self.in_flight)
        self.in_flight.update(pings)
        self.counts.sent += len(self.in_flight) - before

    def record_acknowledged(self, pings: Iterable[Ping], seconds: float) -> None:
        """Count pings as acknowledged, `seconds` after they were sent."""
        for ping in pings:
            self.in_flight.discard(ping)
            self.counts.acknowledged += 1
            self._on_acknowledged(ping)
            self._latencies.append(seconds)
            self._update_status(ping)
        self._last_answer = self._monotonic()

    def record_rejected(self, ping: Ping, reason: str) -> None:
        """Count a ping as rejected by the product."""
        self.in_flight.discard(ping)
        self.counts.rejected += 1
        self.last_rejection = (ping.store, reason)
        self._last_answer = self._monotonic()

    def record_failed(self, pings: Sequence[Ping], reason: str) -> None:
        """Count pings as failed: they are not sent again."""
        self.in_flight.difference_update(pings)
        self.counts.failed += len(pings)
        self.last_error = reason

    def record_retry(self, pings: Sequence[Ping], reason: str) -> None:
        """Count one more attempt to send these pings."""
        self.counts.retried += len(pings)
        self.last_error = reason

    def seconds_without_answer(self) -> float:
        """Return the seconds since the last answer; 0 while no ping is in flight."""
        return self._monotonic() - self._last_answer if self.in_flight else 0.0

    def latency(self, quantile: float) -> float | None:
        """Return the quantile (0 to 1) of the seconds to the acknowledgement; None without any."""
        if not self._latencies:
            return None
        ordered = sorted(self._latencies)
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]

    def _update_status(self, ping: Ping) -> None:
        # a late ping does not change the present status
        instant, active = self._last_status.get(ping.store, (-1, True))
        if ping.instant <= instant:
            return
        self._last_status[ping.store] = (ping.instant, ping.active)
        if ping.active == active:
            return
        self.status_changes.appendleft(StatusChange(ping.store, ping.instant, ping.active))
        if ping.active:
            self.down_since.pop(ping.store, None)
        else:
            self.down_since[ping.store] = ping.instant
