from __future__ import annotations

import io

import pytest
from rich.console import Console

from producers.simulator.delivery_stats import DeliveryStats, PingCounts, StatusChange
from producers.simulator.live_view import (
    PLAIN_SECONDS,
    LiveView,
    PlainLiveView,
    RateMeter,
    Rates,
    TerminalLiveView,
    default_live_view,
    status_change_line,
)
from producers.simulator.model import Ping

NOON = 1_710_072_000_000_000
IDS = [f"0f5c1a3e-9f2b-4b8e-8a6b-00000000000{number}" for number in range(4)]


def busy_stats() -> DeliveryStats:
    stats = DeliveryStats(lambda _: None, lambda: 0.0)
    pings = [Ping(NOON, store, NOON, store != 1) for store in range(4)]
    stats.record_sent(pings)
    stats.record_acknowledged(pings[:2], 0.0125)
    stats.record_rejected(pings[2], "in the [future]")
    return stats


def test_rates_cover_the_time_since_the_last_call() -> None:
    meter = RateMeter()
    counts = PingCounts(sent=100)
    assert meter.rates(counts, 5.0) == Rates(0.0, 0.0, 0.0, 0.0)
    counts.sent, counts.acknowledged, counts.rejected, counts.failed = 120, 10, 4, 2
    assert meter.rates(counts, 7.0) == Rates(10.0, 5.0, 2.0, 1.0)
    assert meter.rates(counts, 7.0) == Rates(0.0, 0.0, 0.0, 0.0)
    assert meter.rates(counts, 8.0) == Rates(0.0, 0.0, 0.0, 0.0)


def test_a_log_gets_a_line_per_interval(capsys: pytest.CaptureFixture[str]) -> None:
    stats = busy_stats()
    with PlainLiveView() as view:
        view.print_line("a note")
        for second in range(int(2 * PLAIN_SECONDS) + 1):
            stats.counts.sent += 50
            view.show(stats, IDS, float(second))
    out, err = capsys.readouterr()
    assert out == ""
    line = (
        "50 pings/s sent, 0 acknowledged, 0.0 rejected, 0.0 failed; "
        "acknowledged in 12 ms (p50), 12 ms (p99); 1 of 4 stores down"
    )
    assert err.splitlines() == ["a note", line, line]


def shown(stats: DeliveryStats, *notes: str) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, legacy_windows=False)
    with TerminalLiveView(console) as view:
        view.show(stats, IDS, 1.0)
        for note in notes:
            view.print_line(note)
        stats.counts.sent += 300
        view.show(stats, IDS, 2.0)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_terminal_shows_rates_counts_stores_and_status_changes() -> None:
    text = shown(busy_stats(), "[bold]a note[/bold] of brackets")
    words = text.split("a note")[1].split()
    assert "pings/s 300 0.0 0.0 0.0" in " ".join(words)
    assert "total 304 2 1 0 1" in " ".join(words)
    assert "acknowledged in 12 ms (p50), 12 ms (p99); 1 stores up, 1 down, 2 not heard yet" in text
    assert f"last rejected: store {IDS[2]}: in the [future]" in text
    assert f"store {IDS[1]} down since 2024-03-10T12:00:00Z" in text
    assert "[bold]a note[/bold] of brackets" in text
    assert "s late" not in text


def test_a_terminal_shows_late_pings_and_a_missing_first_answer() -> None:
    stats = DeliveryStats(lambda _: None, lambda: 0.0)
    stats.seconds_behind = 7.4
    text = shown(stats)
    assert "pings are 7 s late" in text
    assert "nothing acknowledged yet; 0 stores up, 0 down, 4 not heard yet" in text


@pytest.mark.parametrize(
    ("active", "text"),
    [(False, "down since 2024-03-10T12:00:01Z"), (True, "up again at 2024-03-10T12:00:01Z")],
)
def test_status_changes_are_shown_to_the_second(active: bool, text: str) -> None:
    change = StatusChange(3, NOON + 1_999_999, active)
    assert status_change_line(change, IDS) == f"store {IDS[3]} {text}"


def test_lines_are_plain_outside_of_a_terminal() -> None:
    view: LiveView = default_live_view()
    assert isinstance(view, PlainLiveView)
