"""Reports of many stores at once equal the report of each store, computed by two other methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.domain.poll_sets import PollSets
from stream_app.domain.polls import packed_set, to_bytes
from stream_app.domain.report import FIGURE_NAMES
from stream_app.domain.report_rows import build_rows
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.store_facts import PollRules, StoreFacts
from stream_app.domain.timestamps import DAY, HOUR, MINUTE
from stream_app.domain.uptime import StoreStates
from tests import minute_walk
from tests.plain_figures import plain_rows
from tests.strategies import Case, cases, datetime_of
from tests.unit.domain.product import facts_in

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    from stream_app.domain.report_rows import ReportRow

SPECS = (
    ReportSpec(),
    ReportSpec(exact=True),
    ReportSpec(duration=DAY + 7 * HOUR + 1),
    ReportSpec(duration=DAY, exact=True),
    ReportSpec(daily=True),
    ReportSpec(daily=True, exact=True),
    ReportSpec(duration=40 * DAY, daily=True),
)

rules = st.builds(
    PollRules,
    lookback=st.sampled_from([0, HOUR, 3 * DAY]),
    default_active=st.booleans(),
    stale_after=st.sampled_from([0, MINUTE, HOUR, DAY]),
)


class Fleet(NamedTuple):
    """Some stores, and the reference time of their reports."""

    cases: list[Case]
    reference: int


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """Draw stores of any hours and timezones; the first one's span mostly has a clock change."""
    stores = draw(st.lists(cases(), min_size=1, max_size=4))
    reference = stores[0].reference
    return Fleet(
        [
            case._replace(
                reference=reference,
                polls=[(instant - case.reference + reference, on) for instant, on in case.polls],
            )
            for case in stores
        ],
        reference,
    )


def rows_of_all(fleet: Fleet, spec: ReportSpec, poll_rules: PollRules) -> list[list[ReportRow]]:
    facts = [facts_in(case) for case in fleet.cases]
    states = StoreStates.of_facts(facts, *spec.span(fleet.reference), poll_rules)
    return build_rows(spec, names(facts), states, [store.tz for store in facts])


def names(facts: list[StoreFacts]) -> list[str]:
    return [f"store {number}" for number in range(len(facts))]


def written(rows: Sequence[Sequence[tuple[Any, ...]]]) -> bytes:
    return orjson.dumps([[[*row] for row in of_store] for of_store in rows])


@settings(max_examples=150)
@given(fleets(), st.sampled_from(SPECS), rules)
def test_the_rows_of_many_stores_are_those_of_a_plain_count_of_each(
    fleet: Fleet, spec: ReportSpec, poll_rules: PollRules
) -> None:
    facts = [facts_in(case) for case in fleet.cases]

    rows = rows_of_all(fleet, spec, poll_rules)

    expected = [
        plain_rows(spec, name, store, fleet.reference, poll_rules)
        for name, store in zip(names(facts), facts, strict=True)
    ]
    # compared as JSON, where 3 and 3.0 differ
    assert written(rows) == written(expected)


@settings(max_examples=40)
@given(fleets())
def test_the_rows_of_many_stores_are_the_minute_walk_of_each(fleet: Fleet) -> None:
    for default_active in (False, True):
        poll_rules = PollRules(lookback=HOUR, default_active=default_active, stale_after=HOUR)
        for case, (row,) in zip(
            fleet.cases, rows_of_all(fleet, ReportSpec(), poll_rules), strict=True
        ):
            walked = minute_walk.public_figures(
                minute_walk.walk(
                    case.rows,
                    case.timezone_name,
                    [(datetime_of(at), "active" if on else "inactive") for at, on in case.polls],
                    datetime_of(fleet.reference),
                    default_status="active" if default_active else "inactive",
                )
            )
            assert dict(zip(FIGURE_NAMES, row.values[1:], strict=True)) == walked


packed = st.lists(st.integers(0, 40), max_size=12).map(packed_set)


@given(st.lists(st.lists(packed, max_size=4), max_size=5))
def test_the_columns_have_the_union_of_the_sets_of_each_store(
    stores: list[list[array[int]]],
) -> None:
    columns = PollSets.of_bytes([b"".join(map(to_bytes, sets)) for sets in stores])

    assert [columns.set_of(number) for number in range(len(stores))] == [
        packed_set(poll for polls in sets for poll in polls) for sets in stores
    ]


def test_one_microsecond_from_an_active_poll_to_an_inactive_one_is_two_polls() -> None:
    """The packed numbers of these polls differ by one, as those of two polls of one instant do."""
    active_then_inactive, at_one_instant = packed_set([21, 22]), packed_set([20, 21])

    assert list(active_then_inactive) == [21, 22]
    assert list(at_one_instant) == [20]
    for polls in ([21, 22], [20, 21]):
        contents = to_bytes(packed_set(polls[:1])) + to_bytes(packed_set(polls[1:]))
        assert PollSets.of_bytes([contents]).set_of(0) == packed_set(polls)
