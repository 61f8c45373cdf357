from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.domain.timeline import Incident, TimelineSegment, incidents, timeline
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, WEEK
from tests.strategies import Case, cases
from tests.unit.domain.product import observed_of, split, states_in, unknown

if TYPE_CHECKING:
    from stream_app.domain.observation import StoreObservation

usual = settings(max_examples=100)

NOON = 1_710_072_000_000_000  # Sunday 2024-03-10T12:00:00Z
ALL_DAYS = [(day, "09:00", "17:00") for day in range(7)]


def case(*polls: tuple[int, bool], rows: list[tuple[int, str, str]] | None = None) -> Case:
    return Case(ALL_DAYS if rows is None else rows, "UTC", list(polls), NOON, False)


def status_at(
    case: Case, observed: StoreObservation, instant: int, stale_after: int
) -> tuple[bool, bool]:
    """Search the polls; return whether the status is known and whether it is active."""
    polls = list(observed.polls)
    before = polls[: bisect_right(polls, instant << 1 | 1)]
    if not before:
        return False, case.default_active
    return instant - (before[-1] >> 1) < stale_after, bool(before[-1] & 1)


@usual
@given(cases(), st.integers(1, WEEK - 1), st.sampled_from([MINUTE, HOUR, DAY]))
def test_every_instant_is_in_a_segment_with_the_status_of_its_newest_poll(
    case: Case, back: int, stale_after: int
) -> None:
    observed = observed_of(case, stale_after=stale_after)
    instant = case.reference - back

    (segment,) = [s for s in timeline(observed) if s.start <= instant < s.end]

    assert (segment.known, segment.active) == status_at(case, observed, instant, stale_after)
    assert segment.open == any(start <= instant < end for start, end in observed.opened)


@usual
@given(cases())
def test_a_timeline_is_the_whole_span_and_no_two_neighbours_are_alike(case: Case) -> None:
    observed = observed_of(case)
    segments = timeline(observed)

    assert segments[0].start == observed.start
    assert segments[-1].end == observed.end
    for one, other in pairwise(segments):
        assert one.end == other.start
        assert (one.open, one.known, one.active) != (other.open, other.known, other.active)


@usual
@given(cases())
def test_incidents_sum_up_to_the_downtime_of_the_span(case: Case) -> None:
    observed = observed_of(case)
    all_incidents = incidents(observed)

    states = states_in(case)
    down = split(states, observed.start, observed.end, exactly=True).down
    assert sum(incident.downtime for incident in all_incidents) == down
    unknown_down = unknown(states, observed.start, observed.end, exactly=True).down
    assert sum(incident.unknown for incident in all_incidents) == unknown_down
    for one, other in pairwise(all_incidents):
        # something active lies between two incidents, or they would be one
        assert any(one.end <= start and end <= other.start for start, end in observed.active)
    for incident in all_incidents:
        assert incident.start < incident.end
        assert 0 < incident.downtime <= incident.end - incident.start


def test_a_poll_covers_two_hours_and_its_status_counts_beyond_them() -> None:
    observed = observed_of(case((NOON - 4 * HOUR, True)), DAY)

    assert timeline(observed)[-3:] == [
        TimelineSegment(NOON - 4 * HOUR, NOON - 3 * HOUR, open=False, known=True, active=True),
        TimelineSegment(NOON - 3 * HOUR, NOON - 2 * HOUR, open=True, known=True, active=True),
        TimelineSegment(NOON - 2 * HOUR, NOON, open=True, known=False, active=True),
    ]
    assert [s.status for s in timeline(observed)][-3:] == ["active", "active", "unknown"]


def test_an_incident_goes_on_over_a_night() -> None:
    opens, closes = NOON - 3 * HOUR, NOON - 19 * HOUR
    merged = incidents(
        observed_of(case((NOON - WEEK, True), (closes - HOUR, False), (opens + HOUR, True)))
    )

    assert merged == [
        Incident(
            start=closes - HOUR,
            end=opens + HOUR,
            downtime=2 * HOUR,
            # the poll covers the hour before closing, and nothing of the next morning
            unknown=HOUR,
            ongoing=False,
            began_earlier=False,
            reported=True,
        )
    ]


def test_an_outage_outside_business_hours_is_no_incident() -> None:
    closes = NOON - 19 * HOUR
    polls = [(NOON - WEEK, True), (closes + HOUR, False), (closes + 2 * HOUR, True)]
    assert incidents(observed_of(case(*polls))) == []


def test_the_incident_of_a_store_that_is_still_down_is_ongoing_even_when_it_has_closed() -> None:
    rows = [(day, "09:00", "11:00") for day in range(7)]
    reported = incidents(
        observed_of(case((NOON - WEEK, True), (NOON - 2 * HOUR, False), rows=rows))
    )

    (incident,) = reported
    assert incident.ongoing
    assert (incident.start, incident.end) == (NOON - 2 * HOUR, NOON - HOUR)


def test_a_poll_at_the_end_of_the_span_ends_an_incident() -> None:
    """A report by the clock of the data ends at the very poll that brings the store back."""
    down = [(NOON - WEEK, True), (NOON - HOUR, False)]
    (over,) = incidents(observed_of(case(*down, (NOON, True))))
    (still,) = incidents(observed_of(case(*down, (NOON, False))))

    assert (over.ongoing, still.ongoing) == (False, True)
    assert (over.end, over.downtime) == (NOON, HOUR)


def test_without_a_poll_the_default_status_is_an_incident_of_silence() -> None:
    (incident,) = incidents(observed_of(case()))

    assert (incident.reported, incident.began_earlier, incident.ongoing) == (False, True, True)
    assert incident.downtime == incident.unknown == 7 * 8 * HOUR


def test_a_reported_incident_may_have_begun_before_the_span() -> None:
    polls = [(NOON - DAY - HOUR, False), (NOON - HOUR, True)]
    (incident,) = incidents(observed_of(case(*polls), DAY))

    assert (incident.reported, incident.began_earlier, incident.ongoing) == (True, True, False)
