from __future__ import annotations

from producers.simulator.delivery_stats import (
    MAX_LATENCIES,
    MAX_STATUS_CHANGES,
    DeliveryStats,
    PingCounts,
    StatusChange,
)
from producers.simulator.model import Ping


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make_stats() -> tuple[DeliveryStats, list[Ping], Clock]:
    recorded: list[Ping] = []
    clock = Clock()
    return DeliveryStats(recorded.append, clock), recorded, clock


def ping(store: int, instant: int, *, active: bool = True, due: int | None = None) -> Ping:
    return Ping(instant if due is None else due, store, instant, active)


def test_every_ping_is_in_flight_until_it_is_answered() -> None:
    stats, recorded, _ = make_stats()
    pings = [ping(store, 5) for store in range(5)]
    stats.record_sent(pings)
    assert stats.in_flight == set(pings)
    stats.record_acknowledged(pings[:2], 0.5)
    stats.record_rejected(pings[2], "in the future")
    stats.record_retry(pings[3:], "503: busy")
    assert stats.in_flight == {pings[3], pings[4]}
    stats.record_failed(pings[3:4], "413: too large")
    assert stats.in_flight == {pings[4]}
    assert stats.counts == PingCounts(sent=5, acknowledged=2, rejected=1, failed=1, retried=2)
    assert recorded == pings[:2], "a rejected or failed ping is not recorded"
    assert stats.last_rejection == (2, "in the future")
    assert stats.last_error == "413: too large"


def test_the_duplicate_of_a_ping_in_flight_is_another_ping() -> None:
    stats, recorded, _ = make_stats()
    first, double = ping(1, 5), ping(1, 5, due=9)
    stats.record_sent([first, double])
    stats.record_acknowledged([double], 0.1)
    assert stats.in_flight == {first}
    assert recorded == [double]
    assert stats.counts.sent == 2


def test_status_changes_are_in_the_order_of_the_instants() -> None:
    stats, _, _ = make_stats()
    for instant, active in [(1, True), (2, False), (3, False), (5, True), (4, False), (5, False)]:
        stats.record_acknowledged([ping(7, instant, active=active)], 0.1)
    assert list(stats.status_changes) == [
        StatusChange(7, 5, active=True),
        StatusChange(7, 2, active=False),
    ]
    assert stats.down_since == {}
    stats.record_acknowledged([ping(7, 6, active=False), ping(8, 6)], 0.1)
    assert stats.down_since == {7: 6}
    assert stats.stores_heard == 2


def test_a_store_whose_first_ping_says_down_is_down() -> None:
    stats, _, _ = make_stats()
    stats.record_acknowledged([ping(7, 5, active=False)], 0.1)
    assert stats.down_since == {7: 5}
    assert list(stats.status_changes) == [StatusChange(7, 5, active=False)]


def test_the_memory_of_the_statistics_is_bounded() -> None:
    stats, _, _ = make_stats()
    for instant in range(2 * MAX_LATENCIES):
        stats.record_acknowledged([ping(1, instant, active=instant % 2 == 0)], float(instant))
    assert len(stats.status_changes) == MAX_STATUS_CHANGES
    assert stats.latency(0.0) == MAX_LATENCIES
    assert stats.in_flight == set()


def test_each_ping_has_its_latency() -> None:
    stats, _, _ = make_stats()
    assert stats.latency(0.5) is None
    stats.record_acknowledged([ping(1, instant) for instant in range(99)], 0.1)
    stats.record_acknowledged([ping(1, 100)], 7.0)
    assert stats.latency(0.5) == 0.1
    assert stats.latency(0.99) == 7.0
    assert stats.latency(1.0) == 7.0


def test_silence_is_counted_only_while_an_answer_is_awaited() -> None:
    stats, _, clock = make_stats()
    clock.now += 50
    assert stats.seconds_without_answer() == 0.0
    first, second = ping(1, 1), ping(1, 2)
    stats.record_sent([first])
    clock.now += 2
    stats.record_sent([second])
    assert stats.seconds_without_answer() == 2.0
    stats.record_retry([first], "503")
    assert stats.seconds_without_answer() == 2.0, (
        "an answer that asks for another attempt does not count"
    )
    stats.record_acknowledged([first], 2.0)
    clock.now += 1
    assert stats.seconds_without_answer() == 1.0
    stats.record_rejected(second, "no")
    assert stats.seconds_without_answer() == 0.0
