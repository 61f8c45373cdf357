"""Shows a running simulation: a panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream_app.domain.timestamps import SECOND, format_instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producers.simulator.delivery_stats import DeliveryStats, PingCounts, StatusChange

PLAIN_SECONDS: Final = 10.0
"""Seconds between two lines of `PlainLiveView`."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Pings per second since the previous measurement."""

    sent: float
    acknowledged: float
    rejected: float
    failed: float


class RateMeter:
    """Turns two successive counts into rates."""

    def __init__(self) -> None:
        self._previous_time: float | None = None
        self._previous_counts: PingCounts | None = None

    def rates(self, counts: PingCounts, now: float) -> Rates:
        """Return the rates since the previous call; `now` is in seconds."""
        previous, before = self._previous_time, self._previous_counts
        self._previous_time, self._previous_counts = now, replace(counts)
        if previous is None or before is None or now <= previous:
            return Rates(0.0, 0.0, 0.0, 0.0)
        seconds = now - previous
        return Rates(
            (counts.sent - before.sent) / seconds,
            (counts.acknowledged - before.acknowledged) / seconds,
            (counts.rejected - before.rejected) / seconds,
            (counts.failed - before.failed) / seconds,
        )


class LiveView(Protocol):
    """A context that shows the state of a simulation."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def print_line(self, line: str) -> None:
        """Print a line."""

    def show(self, stats: DeliveryStats, store_ids: Sequence[str], now: float) -> None:
        """Show the state at `now` (seconds); called about once a second."""


class PlainLiveView:
    """Prints a line every PLAIN_SECONDS on standard error."""

    def __init__(self) -> None:
        self._meter = RateMeter()
        self._last_line_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def print_line(self, line: str) -> None:
        """Print a line."""
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def show(self, stats: DeliveryStats, store_ids: Sequence[str], now: float) -> None:
        """Print the state unless the previous line is younger than PLAIN_SECONDS."""
        if self._last_line_at is None:
            self._last_line_at = now
            self._meter.rates(stats.counts, now)
        if now - self._last_line_at < PLAIN_SECONDS:
            return
        self._last_line_at = now
        rates = self._meter.rates(stats.counts, now)
        self.print_line(
            f"{rates.sent:,.0f} pings/s sent, {rates.acknowledged:,.0f} acknowledged, "
            f"{rates.rejected:,.1f} rejected, {rates.failed:,.1f} failed; {latencies(stats)}; "
            f"{len(stats.down_since):,} of {len(store_ids):,} stores down"
        )


class TerminalLiveView:
    """Draws a panel on standard error again and again."""

    def __init__(self, console: Console) -> None:
        self._meter = RateMeter()
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def print_line(self, line: str) -> None:
        """Print a line above the panel."""
        self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, stats: DeliveryStats, store_ids: Sequence[str], now: float) -> None:
        """Draw the panel."""
        self._live.update(
            panel(stats, store_ids, self._meter.rates(stats.counts, now)), refresh=True
        )


def panel(stats: DeliveryStats, store_ids: Sequence[str], rates: Rates) -> Group:
    """Return the state of a simulation: a table of counts, and the last status changes."""
    table = Table(box=None, pad_edge=False)
    for title in ("", "sent", "acknowledged", "rejected", "failed", "in flight"):
        table.add_column(title, justify="right")
    counts = stats.counts
    table.add_row(
        "pings/s",
        *(
            f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
            for rate in (rates.sent, rates.acknowledged, rates.rejected, rates.failed)
        ),
        "",
    )
    table.add_row(
        "total",
        *(
            f"{count:,}"
            for count in (
                counts.sent,
                counts.acknowledged,
                counts.rejected,
                counts.failed,
                len(stats.in_flight),
            )
        ),
    )
    up = stats.stores_heard - len(stats.down_since)
    lines = [
        f"{latencies(stats)}; {up:,} stores up, {len(stats.down_since):,} down, "
        f"{len(store_ids) - stats.stores_heard:,} not heard yet"
    ]
    if stats.seconds_behind >= 1:
        lines.append(f"pings are {stats.seconds_behind:.0f} s late")
    if stats.last_rejection is not None:
        store, reason = stats.last_rejection
        lines.append(f"last rejected: store {store_ids[store]}: {reason}")
    lines += [status_change_line(change, store_ids) for change in stats.status_changes]
    return Group(table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))


def latencies(stats: DeliveryStats) -> str:
    """Return the latencies of acknowledgements as text."""
    median, high = stats.latency(0.5), stats.latency(0.99)
    if median is None or high is None:
        return "nothing acknowledged yet"
    return f"acknowledged in {median * 1000:,.0f} ms (p50), {high * 1000:,.0f} ms (p99)"


def status_change_line(change: StatusChange, store_ids: Sequence[str]) -> str:
    """Return a status change as a line of text."""
    moment = format_instant(change.instant // SECOND * SECOND)
    what = "up again at" if change.active else "down since"
    return f"store {store_ids[change.store]} {what} {moment}"


def default_live_view() -> LiveView:
    """Return a panel if standard error is a terminal, else plain lines."""
    console = Console(stderr=True)
    return TerminalLiveView(console) if console.is_terminal else PlainLiveView()
