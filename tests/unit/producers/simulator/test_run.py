"""A simulation with a sink of the test prints its lines, writes its file and counts its pings."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from producers.simulator import run as simulate_module
from producers.simulator.delivery_stats import DeliveryStats
from producers.simulator.model import NO_FAULTS, Ping, Simulation
from producers.simulator.poll_file import PollFile
from producers.simulator.run import HealthReporter, SimulationPlan, SimulationResult, run_simulation
from stream_app.domain.timestamps import SECOND
from stream_app.errors import BrokerUnavailableError, StoreUptimeError
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

START = 1_710_072_000_000_000
SETTINGS = Settings.from_environment({}, data_dir=Path("/nowhere"))


class SinkDouble:
    """Acknowledges all pings at once, except those that a test has rejected or left in flight."""

    def __init__(self) -> None:
        self.entered = 0
        self.left = 0
        self.rejected_stores: set[int] = set()
        self.silent = False
        self.error: StoreUptimeError | None = None

    async def __aenter__(self) -> Self:
        self.entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.left += 1

    async def send(self, pings: Sequence[Ping], stats: DeliveryStats) -> None:
        if self.error is not None:
            raise self.error
        stats.record_sent(pings)
        if self.silent:
            return
        for ping in pings:
            if ping.store in self.rejected_stores:
                stats.record_rejected(ping, "in the future")
        stats.record_acknowledged(
            [ping for ping in pings if ping.store not in self.rejected_stores], 0.01
        )

    async def drain(self) -> None:
        pass


class ViewDouble:
    """Records the lines that it prints."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shows = 0
        self.left = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.left += 1

    def print_line(self, line: str) -> None:
        self.lines.append(line)

    def show(self, _stats: DeliveryStats, _store_ids: Sequence[str], _now: float) -> None:
        self.shows += 1


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> SinkDouble:
    double = SinkDouble()
    monkeypatch.setattr(simulate_module, "HttpPingSink", lambda *_: double)
    monkeypatch.setattr(simulate_module, "_REPORT_SECONDS", 0.01)
    return double


class Clock:
    """A clock that is a little later at each call, on a machine of any speed."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        self.now += SECOND // 400
        return self.now


def plan(**changes: Any) -> SimulationPlan:
    simulation = Simulation(10, SECOND // 20, faults=NO_FAULTS)
    return replace(SimulationPlan(simulation, "http", "http://127.0.0.1:1", SECOND // 2), **changes)


async def simulate(plan: SimulationPlan, view: ViewDouble | None = None) -> SimulationResult:
    result = SimulationResult()
    await run_simulation(plan, SETTINGS, view=view or ViewDouble(), result=result, clock=Clock())
    return result


async def test_a_simulation_lasts_its_duration_and_records_the_acknowledged_pings(
    sink: SinkDouble, tmp_path: Path
) -> None:
    sink.rejected_stores = {3}
    path = tmp_path / "polls.csv"
    view = ViewDouble()
    result = await simulate(plan(poll_file=path), view)
    assert result.complete
    assert result.stats is not None
    counts = result.stats.counts
    assert (counts.sent, counts.acknowledged, counts.rejected) == (100, 90, 10)
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    assert header == "store_id,status,timestamp_utc"
    assert len(rows) == result.recorded == 90
    ids = plan().simulation.store_ids
    assert {row.split(",")[0] for row in rows} == set(ids) - {ids[3]}
    assert view.shows > 0
    assert (view.left, sink.entered, sink.left) == (1, 1, 1)
    lines = list(result.summary_lines(path))
    assert lines[0] == (
        "100 pings sent, 90 acknowledged, 10 rejected, 0 failed, 0 without an answer"
    )
    assert lines[1].endswith("acknowledged in 10 ms (p50), 10 ms (p99)")
    assert lines[2:] == [
        "the last rejection: in the future",
        f"90 acknowledged polls added to {path}",
    ]


async def test_a_cancelled_simulation_ends_cleanly(sink: SinkDouble, tmp_path: Path) -> None:
    path = tmp_path / "polls.csv"
    result, view = SimulationResult(), ViewDouble()
    playing = asyncio.create_task(
        run_simulation(
            plan(duration=None, poll_file=path), SETTINGS, view=view, result=result, clock=Clock()
        )
    )
    while not (view.shows and result.recorded):  # noqa: ASYNC110  the view has no event
        await asyncio.sleep(0.01)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert result.interrupted
    assert result.complete
    assert result.stats is not None
    assert len(path.read_text(encoding="utf-8").splitlines()) == result.recorded + 1
    assert result.recorded == result.stats.counts.acknowledged > 0
    assert (view.left, sink.left) == (1, 1)


async def test_pings_without_an_answer_are_in_the_summary(sink: SinkDouble) -> None:
    sink.silent = True
    result = await simulate(plan())
    assert not result.complete
    assert next(result.summary_lines(None)).endswith("0 failed, 100 without an answer")


async def test_an_error_of_the_sink_ends_the_simulation(sink: SinkDouble) -> None:
    sink.error = StoreUptimeError("accepts no pings")
    with pytest.raises(StoreUptimeError, match="accepts no pings"):
        await simulate(plan())
    assert sink.left == 1


async def test_an_error_of_the_file_ends_the_simulation(
    sink: SinkDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def flush(_self: Any) -> None:
        raise StoreUptimeError("polls.csv: cannot be written: No space left on device")

    monkeypatch.setattr(PollFile, "flush", flush)
    with pytest.raises(StoreUptimeError, match="No space left"):
        await simulate(plan(duration=None, poll_file=tmp_path / "polls.csv"))
    assert sink.left == 1


async def test_kafka_without_a_broker_says_how_to_get_one() -> None:
    with pytest.raises(BrokerUnavailableError, match="no Kafka broker is named"):
        await simulate(plan(via="kafka"))
    with pytest.raises(BrokerUnavailableError, match="no Kafka broker is named"):
        await simulate(plan(register=True))


def test_a_simulation_without_pings_has_no_summary() -> None:
    assert list(SimulationResult().summary_lines(None)) == []
    assert not SimulationResult().complete


# -- the lines while it runs


class Moments:
    """Statistics whose clock a test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.stats = DeliveryStats(lambda _: None, lambda: self.now)
        self.reporter = HealthReporter(self.lines.append)

    def check(self, seconds: float = 0.0) -> list[str]:
        """Return the lines of a check this many seconds later."""
        self.now += seconds
        self.lines.clear()
        self.reporter.check(self.stats, self.now)
        return list(self.lines)


PINGS = [Ping(1, 0, 1, True), Ping(2, 0, 2, True)]


def test_silence_is_reported_once_and_its_end_once() -> None:
    moments = Moments()
    assert moments.check(60) == [], "nothing is in flight"
    moments.stats.record_sent(PINGS)
    assert moments.check(2) == []
    moments.stats.record_retry(PINGS, "503: the broker is out of reach")
    assert moments.check(1.5) == [
        "no answer for 4 s: 503: the broker is out of reach; 2 pings wait, nothing is lost"
    ]
    assert moments.check(60) == []
    moments.stats.record_acknowledged(PINGS[:1], 1.0)
    assert moments.check() == ["the product answers again, after 64 s"]
    assert moments.check(1) == []
    assert moments.check(5) == [
        "no answer for 6 s: 503: the broker is out of reach; 1 pings wait, nothing is lost"
    ]


def test_a_product_that_is_too_slow_is_reported_every_thirty_seconds() -> None:
    moments = Moments()
    moments.stats.seconds_behind = 1.9
    assert moments.check(1) == []
    moments.stats.seconds_behind = 7.0
    line = (
        "the product is slower than the pings: they are sent 7 s late (give a lower --rate, or "
        "start more workers)"
    )
    assert moments.check(1) == [line]
    assert moments.check(29) == []
    assert moments.check(1) == [line]
    moments.stats.seconds_behind = 0.0
    assert moments.check(1) == []
    moments.stats.seconds_behind = 7.0
    assert moments.check(1) == [line]


def test_a_product_that_does_not_answer_is_not_called_slow() -> None:
    moments = Moments()
    moments.stats.record_sent(PINGS)
    moments.stats.seconds_behind = 7.0
    (line,) = moments.check(5)
    assert line.startswith("no answer for 5 s; 2 pings wait")
