from __future__ import annotations

from producers.simulator.delivery_stats import (
    INCIDENTS_KEPT,
    LATENCIES_KEPT,
    Incident,
    PingCounts,
    Tally,
)
from producers.simulator.model import Ping


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make_tally() -> tuple[Tally, list[Ping], Clock]:
    recorded: list[Ping] = []
    clock = Clock()
    return Tally(recorded.append, clock), recorded, clock


def ping(store: int, instant: int, *, active: bool = True, due: int | None = None) -> Ping:
    return Ping(instant if due is None else due, store, instant, active)


def test_every_ping_is_open_until_it_is_answered() -> None:
    tally, recorded, _ = make_tally()
    pings = [ping(store, 5) for store in range(5)]
    tally.send(pings)
    assert tally.open == set(pings)
    tally.acknowledge(pings[:2], 0.5)
    tally.refuse(pings[2], "in the future")
    tally.retry(pings[3:], "503: busy")
    assert tally.open == {pings[3], pings[4]}
    tally.fail(pings[3:4], "413: too large")
    assert tally.open == {pings[4]}
    assert tally.counts == PingCounts(sent=5, acknowledged=2, refused=1, failed=1, retried=2)
    assert recorded == pings[:2], "what was refused or failed is not recorded"
    assert tally.refusal == (2, "in the future")
    assert tally.trouble == "413: too large"


def test_the_double_of_an_open_ping_is_a_ping_of_its_own() -> None:
    tally, recorded, _ = make_tally()
    first, double = ping(1, 5), ping(1, 5, due=9)
    tally.send([first, double])
    tally.acknowledge([double], 0.1)
    assert tally.open == {first}
    assert recorded == [double]
    assert tally.counts.sent == 2


def test_incidents_are_changes_of_status_in_the_order_of_the_instants() -> None:
    tally, _, _ = make_tally()
    for instant, active in [(1, True), (2, False), (3, False), (5, True), (4, False), (5, False)]:
        tally.acknowledge([ping(7, instant, active=active)], 0.1)
    assert list(tally.incidents) == [Incident(7, 5, active=True), Incident(7, 2, active=False)]
    assert tally.down == {}
    tally.acknowledge([ping(7, 6, active=False), ping(8, 6)], 0.1)
    assert tally.down == {7: 6}
    assert tally.stores == 2


def test_a_store_that_is_first_heard_when_it_is_down_is_down() -> None:
    tally, _, _ = make_tally()
    tally.acknowledge([ping(7, 5, active=False)], 0.1)
    assert tally.down == {7: 5}
    assert list(tally.incidents) == [Incident(7, 5, active=False)]


def test_what_it_keeps_is_bounded() -> None:
    tally, _, _ = make_tally()
    for instant in range(2 * LATENCIES_KEPT):
        tally.acknowledge([ping(1, instant, active=instant % 2 == 0)], float(instant))
    assert len(tally.incidents) == INCIDENTS_KEPT
    assert tally.latency(0.0) == LATENCIES_KEPT
    assert tally.open == set()


def test_latencies_are_of_pings() -> None:
    tally, _, _ = make_tally()
    assert tally.latency(0.5) is None
    tally.acknowledge([ping(1, instant) for instant in range(99)], 0.1)
    tally.acknowledge([ping(1, 100)], 7.0)
    assert tally.latency(0.5) == 0.1
    assert tally.latency(0.99) == 7.0
    assert tally.latency(1.0) == 7.0


def test_silence_is_counted_only_while_an_answer_is_awaited() -> None:
    tally, _, clock = make_tally()
    clock.now += 50
    assert tally.silence() == 0.0
    first, second = ping(1, 1), ping(1, 2)
    tally.send([first])
    clock.now += 2
    tally.send([second])
    assert tally.silence() == 2.0
    tally.retry([first], "503")
    assert tally.silence() == 2.0, "to be told to come back is no answer"
    tally.acknowledge([first], 2.0)
    clock.now += 1
    assert tally.silence() == 1.0
    tally.refuse(second, "no")
    assert tally.silence() == 0.0
