"""What a person sees while stores are simulated: a panel on a terminal, plain lines elsewhere."""

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

    from producers.simulator.delivery_stats import Incident, PingCounts, Tally

PLAIN_SECONDS: Final = 10.0
"""A log gets a line this often."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Pings a second over the time since the last look."""

    sent: float
    acknowledged: float
    refused: float
    failed: float


class RateMeter:
    """Turns counts into rates."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._before: PingCounts | None = None

    def rates(self, counts: PingCounts, now: float) -> Rates:
        """The rates since the last call; `now` is in seconds."""
        at, before = self._at, self._before
        self._at, self._before = now, replace(counts)
        if at is None or before is None or now <= at:
            return Rates(0.0, 0.0, 0.0, 0.0)
        seconds = now - at
        return Rates(
            (counts.sent - before.sent) / seconds,
            (counts.acknowledged - before.acknowledged) / seconds,
            (counts.refused - before.refused) / seconds,
            (counts.failed - before.failed) / seconds,
        )


class LiveView(Protocol):
    """Where a simulation shows itself; a context."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def note(self, line: str) -> None:
        """One line to read."""

    def show(self, tally: Tally, store_ids: Sequence[str], now: float) -> None:
        """The state of things at `now`, in seconds; called about once a second."""


class PlainLiveView:
    """A line every PLAIN_SECONDS on standard error."""

    def __init__(self) -> None:
        self._meter = RateMeter()
        self._shown: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def note(self, line: str) -> None:
        """Print a line."""
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def show(self, tally: Tally, store_ids: Sequence[str], now: float) -> None:
        """Print the state, if the last time is long enough ago."""
        if self._shown is None:
            self._shown = now
            self._meter.rates(tally.counts, now)
        if now - self._shown < PLAIN_SECONDS:
            return
        self._shown = now
        rates = self._meter.rates(tally.counts, now)
        self.note(
            f"{rates.sent:,.0f} pings/s sent, {rates.acknowledged:,.0f} acknowledged, "
            f"{rates.refused:,.1f} refused, {rates.failed:,.1f} failed; {latencies(tally)}; "
            f"{len(tally.down):,} of {len(store_ids):,} stores down"
        )


class TerminalLiveView:
    """A panel on standard error that is drawn anew."""

    def __init__(self, console: Console) -> None:
        self._meter = RateMeter()
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def note(self, line: str) -> None:
        """Print a line above the panel."""
        self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, tally: Tally, store_ids: Sequence[str], now: float) -> None:
        """Draw the panel."""
        self._live.update(
            panel(tally, store_ids, self._meter.rates(tally.counts, now)), refresh=True
        )


def panel(tally: Tally, store_ids: Sequence[str], rates: Rates) -> Group:
    """The state of things as a table of counts and the last incidents."""
    table = Table(box=None, pad_edge=False)
    for title in ("", "sent", "acknowledged", "refused", "failed", "open"):
        table.add_column(title, justify="right")
    counts = tally.counts
    table.add_row(
        "pings/s",
        *(
            f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
            for rate in (rates.sent, rates.acknowledged, rates.refused, rates.failed)
        ),
        "",
    )
    table.add_row(
        "in all",
        *(
            f"{count:,}"
            for count in (
                counts.sent,
                counts.acknowledged,
                counts.refused,
                counts.failed,
                len(tally.open),
            )
        ),
    )
    up = tally.stores - len(tally.down)
    lines = [
        f"{latencies(tally)}; {up:,} stores up, {len(tally.down):,} down, "
        f"{len(store_ids) - tally.stores:,} not heard yet"
    ]
    if tally.behind >= 1:
        lines.append(f"behind by {tally.behind:.0f} s")
    if tally.refusal is not None:
        store, reason = tally.refusal
        lines.append(f"last refused: store {store_ids[store]}: {reason}")
    lines += [incident_line(incident, store_ids) for incident in tally.incidents]
    return Group(table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))


def latencies(tally: Tally) -> str:
    """The latencies of acknowledgements in words."""
    median, high = tally.latency(0.5), tally.latency(0.99)
    if median is None or high is None:
        return "nothing acknowledged yet"
    return f"acknowledged in {median * 1000:,.0f} ms (p50), {high * 1000:,.0f} ms (p99)"


def incident_line(incident: Incident, store_ids: Sequence[str]) -> str:
    """A store that went down or came up."""
    moment = format_instant(incident.instant // SECOND * SECOND)
    what = "up again at" if incident.active else "down since"
    return f"store {store_ids[incident.store]} {what} {moment}"


def default_live_view() -> LiveView:
    """A panel where standard error is a terminal, else plain lines."""
    console = Console(stderr=True)
    return TerminalLiveView(console) if console.is_terminal else PlainLiveView()
