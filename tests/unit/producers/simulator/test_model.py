"""The pings of the simulated stores keep every promise of the model."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import islice, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.simulator.model import (
    BROKEN_AHEAD,
    CYCLE_PINGS,
    FLAP_PINGS,
    LATE_PINGS,
    NO_FAULTS,
    OUTAGE_PINGS,
    SKEW,
    FaultRates,
    Ping,
    Simulation,
)
from stream_app.contracts.fields import parse_uuid
from stream_app.domain.business_hours import WeeklyHours
from stream_app.domain.timestamps import HOUR, MINUTE, SECOND
from stream_app.domain.timezones import find_timezone

START = 1_710_072_000_000_000
EVERY = 10 * SECOND
TOLERANCE = 5 * MINUTE

shares = st.sampled_from([0.0, 0.05, 0.5, 1.0])
fault_rates = st.builds(FaultRates, shares, shares, shares, shares, shares)
simulations = st.builds(
    Simulation,
    st.integers(1, 12),
    st.integers(1, HOUR),
    seed=st.integers(-(2**70), 2**70),
    faults=fault_rates,
    tolerance=st.integers(0, HOUR),
)
starts = st.integers(0, 4 * 10**15)


def until(simulation: Simulation, start: int, end: int) -> list[Ping]:
    return list(takewhile(lambda ping: ping.due < end, simulation.pings(start)))


def slot_of(simulation: Simulation, ping: Ping) -> int:
    """Return the point of its store's grid to which a ping belongs."""
    at = ping.instant - simulation.skew(ping.store) - simulation.phase(ping.store)
    slot, rest = divmod(at, simulation.every)
    assert rest == 0, "not on the grid of its store"
    return slot


def made(faults: FaultRates, stores: int = 200) -> Simulation:
    return Simulation(stores, EVERY, seed=7, faults=faults, tolerance=TOLERANCE)


@given(simulations, starts)
def test_the_same_seed_gives_the_same_pings(simulation: Simulation, start: int) -> None:
    again = list(islice(simulation.pings(start), 300))
    assert list(islice(simulation.pings(start), 300)) == again


def test_the_same_arguments_give_the_same_stores_and_another_seed_gives_others() -> None:
    one, same, other = (Simulation(50, EVERY, seed=seed, faults=FaultRates()) for seed in (3, 3, 4))
    assert one.store_ids == same.store_ids
    assert list(islice(one.pings(START), 500)) == list(islice(same.pings(START), 500))
    assert not set(one.store_ids) & set(other.store_ids)


def test_store_ids_are_different_uuids_and_more_stores_keep_those_of_fewer() -> None:
    many = Simulation(2000, EVERY).store_ids
    assert len(set(many)) == 2000
    assert [parse_uuid(store_id) for store_id in many] == many
    assert Simulation(30, EVERY).store_ids == many[:30]


@given(simulations, starts)
def test_pings_come_in_the_order_in_which_they_are_due(simulation: Simulation, start: int) -> None:
    pings = list(islice(simulation.pings(start), 300))
    assert [ping.due for ping in pings] == sorted(ping.due for ping in pings)


@given(simulations, starts)
def test_every_ping_is_on_the_grid_of_its_store_and_due_then_or_later(
    simulation: Simulation, start: int
) -> None:
    for ping in islice(simulation.pings(start), 300):
        at = ping.instant - simulation.skew(ping.store)
        assert slot_of(simulation, ping) * simulation.every >= 0
        assert start <= at <= ping.due
        assert 0 <= simulation.phase(ping.store) < simulation.every
        # late pings come before the next ping on time, a duplicate within one interval more
        assert ping.due - at < (LATE_PINGS[1] + 2) * simulation.every + 1


@given(
    st.builds(
        Simulation,
        st.integers(1, 5),
        st.just(EVERY),
        seed=st.integers(0, 2**64),
        faults=fault_rates,
        tolerance=st.just(TOLERANCE),
    )
)
def test_every_point_of_a_grid_has_pings_of_one_status(simulation: Simulation) -> None:
    end = START + 200 * EVERY
    seen: defaultdict[tuple[int, int], list[Ping]] = defaultdict(list)
    for ping in until(simulation, START, end):
        seen[ping.store, slot_of(simulation, ping)].append(ping)
    settled = end - (LATE_PINGS[1] + 2) * EVERY
    for store in range(len(simulation.store_ids)):
        slots = [
            slot
            for slot in range(START // EVERY, settled // EVERY)
            if slot * EVERY + simulation.phase(store) >= START
        ]
        assert len(slots) > 180
        for slot in slots:
            assert 1 <= len(seen[store, slot]) <= 2
    for (store, slot), pings in seen.items():
        assert {ping.active for ping in pings} == {simulation.is_up(store, slot)}
        assert len({ping.due for ping in pings}) == len(pings)


@given(simulations, starts, st.integers(0, 100))
def test_a_second_run_continues_the_pings_of_the_first(
    simulation: Simulation, start: int, later: int
) -> None:
    end = start + 30 * simulation.every
    second = start + later * simulation.every // 10
    first_run = until(simulation, start, end)
    assert until(simulation, second, end) == [
        ping for ping in first_run if ping.instant - simulation.skew(ping.store) >= second
    ]


def test_without_faults_all_stores_are_up_and_each_ping_is_sent_once_and_on_time() -> None:
    simulation = made(NO_FAULTS)
    pings = until(simulation, START, START + 100 * EVERY)
    assert len(pings) == 200 * 100
    assert all(ping.active and ping.due == ping.instant for ping in pings)


def test_outages_last_for_a_while_and_most_stores_are_up() -> None:
    simulation = made(FaultRates(0.5, 0, 0, 0, 0))
    pings = until(simulation, START, START + 40 * CYCLE_PINGS * EVERY)
    outages: list[int] = []
    for store in range(200):
        run = 0
        # the first and the last outage may be cut
        for ping in [ping for ping in pings if ping.store == store][CYCLE_PINGS:-CYCLE_PINGS]:
            if not ping.active:
                run += 1
            elif run:
                outages.append(run)
                run = 0
    shortest, longest = OUTAGE_PINGS
    # the outages of two cycles may touch
    assert max(outages) <= 2 * longest
    assert sum(shortest <= outage <= longest for outage in outages) > 0.95 * len(outages)
    cycles = 200 * 38
    assert 0.45 * cycles < len(outages) < 0.55 * cycles


def test_flapping_stores_change_all_the_time_and_are_as_many_as_configured() -> None:
    simulation = made(FaultRates(0, 0.1, 0, 0, 0))
    pings = until(simulation, START, START + 100 * EVERY)
    changes: Counter[int] = Counter()
    last: dict[int, bool] = {}
    for ping in pings:
        changes[ping.store] += last.get(ping.store, ping.active) != ping.active
        last[ping.store] = ping.active
    flapping = [store for store, count in changes.items() if count]
    assert 18 <= len(flapping) <= 22
    assert all(10 < changes[store] <= 100 // FLAP_PINGS for store in flapping)


def test_skewed_clocks_are_as_many_as_configured_and_one_in_five_is_rejected() -> None:
    simulation = made(FaultRates(0, 0, 0.25, 0, 0))
    skews = [simulation.skew(store) for store in range(200)]
    off = [skew for skew in skews if skew]
    broken = [skew for skew in off if skew > TOLERANCE]
    assert 48 <= len(off) <= 52
    assert 8 <= len(broken) <= 12
    assert all(BROKEN_AHEAD[0] <= skew - TOLERANCE < BROKEN_AHEAD[1] for skew in broken)
    within = [skew for skew in off if skew <= TOLERANCE]
    assert all(SECOND <= abs(skew) < SKEW for skew in within)
    assert min(within) < 0 < max(within)
    pings = until(simulation, START, START + 3 * EVERY)
    assert all(ping.instant - ping.due == skews[ping.store] for ping in pings)


def test_late_pings_come_together_before_the_next_one_on_time() -> None:
    simulation = made(FaultRates(0, 0, 0, 0.3, 0))
    pings = until(simulation, START, START + 20 * CYCLE_PINGS * EVERY)
    late: defaultdict[tuple[int, int], list[Ping]] = defaultdict(list)
    for ping in pings:
        if ping.due > ping.instant:
            late[ping.store, ping.due].append(ping)
    sizes = [len(group) for group in late.values()]
    shortest, longest = LATE_PINGS
    assert max(sizes) == longest
    assert sum(size < shortest for size in sizes) <= 0.05 * len(sizes), "cut by the start"
    assert 0.25 < len(sizes) / (200 * 20) < 0.35
    for (_, due), group in late.items():
        instants = [ping.instant for ping in group]
        assert instants == list(range(due - len(group) * EVERY, due, EVERY))


def test_a_duplicate_is_the_same_ping_later() -> None:
    simulation = made(FaultRates(0, 0, 0, 0, 0.2))
    pings = until(simulation, START, START + 100 * EVERY)
    by_fact: defaultdict[tuple[int, int, bool], list[int]] = defaultdict(list)
    for ping in pings:
        by_fact[ping.store, ping.instant, ping.active].append(ping.due)
    doubled = [dues for dues in by_fact.values() if len(dues) > 1]
    assert 0.18 < len(doubled) / len(by_fact) < 0.22
    assert all(0 < second - first <= EVERY for first, second in doubled)


def test_few_stores_have_their_share_of_faults_too() -> None:
    """Faults are spread evenly: one or two of twenty stores flap at a share of a twentieth."""
    for seed in range(50):
        simulation = Simulation(20, EVERY, seed=seed, faults=FaultRates(0, 0, 0.05, 0, 0))
        assert sum(simulation.skew(store) != 0 for store in range(20)) <= 3


def test_the_product_accepts_the_hours_and_timezones() -> None:
    simulation = Simulation(300, EVERY)
    kinds = Counter(len(simulation.business_hours(store)) for store in range(300))
    assert set(kinds) == {0, 5, 6, 7}
    for store in range(300):
        hours = WeeklyHours.from_rows(simulation.business_hours(store))
        assert hours.intervals
        assert hours.never_open_rows == ()
        assert find_timezone(simulation.timezone(store)) is not None
    assert simulation.business_hours(3) == Simulation(5, HOUR).business_hours(3)


@pytest.mark.parametrize(("stores", "every"), [(0, 1), (-1, 1), (1, 0)])
def test_a_simulation_without_stores_or_interval_is_an_error(stores: int, every: int) -> None:
    with pytest.raises(ValueError, match="at least one store"):
        Simulation(stores, every)
