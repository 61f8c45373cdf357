"""Playing stores against a sink of the test: what is said, recorded and counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from producers.simulator import run as simulate_module
from producers.simulator.delivery_stats import Tally
from producers.simulator.model import NO_TROUBLE, Ping, Simulation
from producers.simulator.run import Plan, Played, Watch, play
from stream_app.domain.timestamps import SECOND
from stream_app.errors import BrokerUnavailableError, StoreUptimeError
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

START = 1_710_072_000_000_000
SETTINGS = Settings.from_environment({}, data_dir=Path("/nowhere"))


class SinkDouble:
    """Acknowledges everything at once, but for what it shall refuse, fail or leave open."""

    def __init__(self) -> None:
        self.entered = 0
        self.left = 0
        self.refused: set[int] = set()
        self.silent = False
        self.error: StoreUptimeError | None = None

    async def __aenter__(self) -> Self:
        self.entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.left += 1

    async def send(self, pings: Sequence[Ping], tally: Tally) -> None:
        if self.error is not None:
            raise self.error
        tally.send(pings)
        if self.silent:
            return
        for ping in pings:
            if ping.store in self.refused:
                tally.refuse(ping, "in the future")
        tally.acknowledge([ping for ping in pings if ping.store not in self.refused], 0.01)

    async def drain(self) -> None:
        pass


class ViewDouble:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.shows = 0
        self.left = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.left += 1

    def note(self, line: str) -> None:
        self.notes.append(line)

    def show(self, _tally: Tally, _store_ids: Sequence[str], _now: float) -> None:
        self.shows += 1


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> SinkDouble:
    double = SinkDouble()
    monkeypatch.setattr(simulate_module, "HttpPings", lambda *_: double)
    monkeypatch.setattr(simulate_module, "_LOOK_SECONDS", 0.01)
    return double


class Clock:
    """A little later each time that it is asked: the same on a machine of any speed."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        self.now += SECOND // 400
        return self.now


def plan(**changes: Any) -> Plan:
    simulation = Simulation(10, SECOND // 20, trouble=NO_TROUBLE)
    return replace(Plan(simulation, "http", "http://127.0.0.1:1", SECOND // 2), **changes)


async def played(wanted: Plan, view: ViewDouble | None = None) -> Played:
    result = Played()
    await play(wanted, SETTINGS, view=view or ViewDouble(), played=result, clock=Clock())
    return result


async def test_plays_for_as_long_as_asked_and_records_what_was_acknowledged(
    sink: SinkDouble, tmp_path: Path
) -> None:
    sink.refused = {3}
    path = tmp_path / "polls.csv"
    view = ViewDouble()
    result = await played(plan(record=path), view)
    assert result.complete
    assert result.tally is not None
    counts = result.tally.counts
    assert (counts.sent, counts.acknowledged, counts.refused) == (100, 90, 10)
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    assert header == "store_id,status,timestamp_utc"
    assert len(rows) == result.recorded == 90
    ids = plan().simulation.store_ids
    assert {row.split(",")[0] for row in rows} == set(ids) - {ids[3]}
    assert view.shows > 0
    assert (view.left, sink.entered, sink.left) == (1, 1, 1)
    lines = list(result.lines(path))
    assert lines[0] == (
        "100 pings sent, 90 acknowledged, 10 refused, 0 failed, 0 without an answer"
    )
    assert lines[1].endswith("acknowledged in 10 ms (p50), 10 ms (p99)")
    assert lines[2:] == [
        "the last refusal: in the future",
        f"90 acknowledged polls added to {path}",
    ]


async def test_stopped_from_outside_it_ends_cleanly(sink: SinkDouble, tmp_path: Path) -> None:
    path = tmp_path / "polls.csv"
    result, view = Played(), ViewDouble()
    playing = asyncio.create_task(
        play(plan(duration=None, record=path), SETTINGS, view=view, played=result, clock=Clock())
    )
    while not (view.shows and result.recorded):  # noqa: ASYNC110  they have no event
        await asyncio.sleep(0.01)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert result.interrupted
    assert result.complete
    assert result.tally is not None
    assert len(path.read_text(encoding="utf-8").splitlines()) == result.recorded + 1
    assert result.recorded == result.tally.counts.acknowledged > 0
    assert (view.left, sink.left) == (1, 1)


async def test_what_stays_open_is_told(sink: SinkDouble) -> None:
    sink.silent = True
    result = await played(plan())
    assert not result.complete
    assert next(result.lines(None)).endswith("0 failed, 100 without an answer")


async def test_a_sink_that_gives_up_ends_it_with_its_error(sink: SinkDouble) -> None:
    sink.error = StoreUptimeError("takes no live pings")
    with pytest.raises(StoreUptimeError, match="takes no live pings"):
        await played(plan())
    assert sink.left == 1


async def test_a_file_that_cannot_be_written_any_more_ends_it(
    sink: SinkDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def flush(_self: Any) -> None:
        raise StoreUptimeError("polls.csv: cannot be written: No space left on device")

    monkeypatch.setattr(simulate_module.PollFile, "flush", flush)
    with pytest.raises(StoreUptimeError, match="No space left"):
        await played(plan(duration=None, record=tmp_path / "polls.csv"))
    assert sink.left == 1


async def test_kafka_without_a_broker_says_how_to_get_one() -> None:
    with pytest.raises(BrokerUnavailableError, match="no Kafka broker is named"):
        await played(plan(via="kafka"))
    with pytest.raises(BrokerUnavailableError, match="no Kafka broker is named"):
        await played(plan(register=True))


def test_nothing_is_summed_up_before_it_began() -> None:
    assert list(Played().lines(None)) == []
    assert not Played().complete


# -- what is said while it goes


class Moments:
    """A tally whose clock a test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[str] = []
        self.tally = Tally(lambda _: None, lambda: self.now)
        self.watch = Watch(self.said.append)

    def look(self, seconds: float = 0.0) -> list[str]:
        """What is said after so many seconds more."""
        self.now += seconds
        self.said.clear()
        self.watch.look(self.tally, self.now)
        return list(self.said)


PINGS = [Ping(1, 0, 1, True), Ping(2, 0, 2, True)]


def test_silence_is_told_once_and_its_end_once() -> None:
    moments = Moments()
    assert moments.look(60) == [], "nothing is awaited"
    moments.tally.send(PINGS)
    assert moments.look(2) == []
    moments.tally.retry(PINGS, "503: the broker is out of reach")
    assert moments.look(1.5) == [
        "no answer for 4 s: 503: the broker is out of reach; 2 pings wait, nothing is lost"
    ]
    assert moments.look(60) == []
    moments.tally.acknowledge(PINGS[:1], 1.0)
    assert moments.look() == ["answers again, after 64 s; going on"]
    assert moments.look(1) == []
    assert moments.look(5) == [
        "no answer for 6 s: 503: the broker is out of reach; 1 pings wait, nothing is lost"
    ]


def test_a_product_that_is_slower_than_asked_is_told_now_and_then() -> None:
    moments = Moments()
    moments.tally.behind = 1.9
    assert moments.look(1) == []
    moments.tally.behind = 7.0
    told = (
        "the product is slower than asked: pings go out 7 s late (give a lower --rate, or more "
        "workers)"
    )
    assert moments.look(1) == [told]
    assert moments.look(29) == []
    assert moments.look(1) == [told]
    moments.tally.behind = 0.0
    assert moments.look(1) == []
    moments.tally.behind = 7.0
    assert moments.look(1) == [told]


def test_a_product_that_does_not_answer_is_not_called_slow() -> None:
    moments = Moments()
    moments.tally.send(PINGS)
    moments.tally.behind = 7.0
    (said,) = moments.look(5)
    assert said.startswith("no answer for 5 s; 2 pings wait")
