from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.domain.report import CSV_HEADER
from stream_app.domain.report_spec import MAX_SPAN, ReportSpec
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, WEEK
from stream_app.errors import ReportError
from tests.strategies import Case, cases
from tests.unit.domain.product import by_column, figures, observed_of, report_of, states_in

usual = settings(max_examples=60)
NOON = 1_710_072_000_000_000
CASE = Case([], "UTC", [(NOON - 3 * HOUR, True)], NOON, False)


def test_a_report_without_options_has_the_three_windows() -> None:
    (row,) = report_of(CASE, ReportSpec())

    assert ReportSpec().columns == CSV_HEADER
    assert row.values == ["a", 60, 3.0, 3.0, 0, 21.0, 165.0]
    assert (row.polls_counted, row.coverage) == (1, round(2 / 168, 6))


def test_exact_windows_are_seconds() -> None:
    spec = ReportSpec(exact=True)
    case = CASE._replace(polls=[(NOON - 1_500_000, True)])
    (row,) = report_of(case, spec)

    assert spec.columns[1:4] == (
        "uptime_last_hour_seconds",
        "uptime_last_day_seconds",
        "uptime_last_week_seconds",
    )
    assert row.values == ["a", 1.5, 1.5, 1.5, 3598.5, 86398.5, 604798.5]


def test_a_span_is_one_window() -> None:
    spec = ReportSpec(duration=6 * HOUR)
    (row,) = report_of(CASE, spec)

    assert spec.columns == ("store_id", "start", "end", "uptime_minutes", "downtime_minutes")
    assert row.values == ["a", "2024-03-10T06:00:00Z", "2024-03-10T12:00:00Z", 180, 180]


@usual
@given(cases(), st.booleans())
def test_a_week_by_days_is_the_week(case: Case, exactly: bool) -> None:
    spec = ReportSpec(daily=True, exact=exactly)
    rows = report_of(case, spec)

    unit = SECOND if exactly else 1
    whole = figures(*case, exactly=exactly).week
    assert round(sum(row.values[-2] for row in rows) * unit) == whole.up
    assert round(sum(row.values[-1] for row in rows) * unit) == whole.down
    assert [row.values[1] for row in rows] == sorted({row.values[1] for row in rows})
    inside = {instant for instant, _ in case.polls if 0 < case.reference - instant <= WEEK}
    assert sum(row.polls_counted for row in rows) == len(inside)
    assert all(len(row.values) == len(spec.columns) for row in rows)


@usual
@given(cases())
def test_a_span_of_a_day_is_the_last_day(case: Case) -> None:
    # older polls count for the longer span only
    case = case._replace(polls=[p for p in case.polls if p[0] >= case.reference - DAY - HOUR])
    (row,) = report_of(case, ReportSpec(duration=DAY))
    known = by_column(figures(*case))
    if case.polls and min(p[0] for p in case.polls) <= case.reference - DAY:
        assert row.values[-2:] == [known["uptime_last_day"], known["downtime_last_day"]]
    assert sum(row.values[-2:]) == known["uptime_last_day"] + known["downtime_last_day"]


@usual
@given(cases(), st.sampled_from([MINUTE, HOUR, DAY]))
def test_coverage_is_the_share_of_open_minutes_that_a_poll_covers(
    case: Case, stale_after: int
) -> None:
    observed = observed_of(case, DAY, stale_after=stale_after)
    (coverage,) = states_in(case, DAY, stale_after=stale_after).coverage()
    opened = sum(end - start for start, end in observed.opened)
    instants = [poll >> 1 for poll in observed.polls]
    covered = 0
    for start, end in observed.opened:
        at = start
        while at < end:
            # to the next instant at which something changes
            changes = [t for t in (*instants, *(i + stale_after for i in instants)) if t > at]
            until = min([end, *changes])
            if any(i <= at < i + stale_after for i in instants):
                covered += until - at
            at = until

    assert coverage == (round(covered / opened, 6) if opened else None)


@usual
@given(cases(), st.booleans(), st.booleans())
def test_time_that_no_poll_covers_is_a_part_of_each_figure_and_agrees_with_coverage(
    case: Case, daily: bool, default_active: bool
) -> None:
    spec = ReportSpec(daily=daily, exact=True, duration=WEEK)
    case = case._replace(default_active=default_active)
    for row in report_of(case, spec):
        opened, unknown = sum(row.values[-2:]), sum(row.unknown)

        assert all(
            0 <= part <= figure for part, figure in zip(row.unknown, row.values[-2:], strict=True)
        )
        assert row.coverage == (pytest.approx(1 - unknown / opened, abs=1e-6) if opened else None)


@usual
@given(cases(), st.sampled_from([ReportSpec(), ReportSpec(duration=DAY), ReportSpec(daily=True)]))
def test_on_the_grid_each_minute_that_no_poll_covers_is_counted(
    case: Case, spec: ReportSpec
) -> None:
    rows = report_of(case, spec)
    figures = {
        name: [*(row.values[spec.columns.index(name)] for row in rows)]
        for name in spec.columns
        if name.startswith(("uptime", "downtime"))
    }

    assert spec.unknown_columns == tuple(f"unknown_{name}" for name in figures)
    for place, column in enumerate(figures.values()):
        for row, figure in zip(rows, column, strict=True):
            assert 0 <= row.unknown[place] <= figure
            if row.coverage == 1:
                assert row.unknown[place] == 0
            if row.coverage == 0:
                assert row.unknown[place] == figure


def test_a_store_without_polls_has_no_known_downtime() -> None:
    (row,) = report_of(CASE._replace(polls=[]), ReportSpec())

    assert row.values == ["a", 0, 0.0, 0.0, 60, 24.0, 168.0]
    assert row.unknown == [0, 0.0, 0.0, 60, 24.0, 168.0]


def test_a_stale_active_poll_is_uptime_without_data() -> None:
    # the poll is three hours old, and covers two hours
    (row,) = report_of(CASE, ReportSpec())

    assert row.values == ["a", 60, 3.0, 3.0, 0, 21.0, 165.0]
    assert row.unknown == [60, 1.0, 1.0, 0, 21.0, 165.0]


@pytest.mark.parametrize(
    ("spec", "span"),
    [
        (ReportSpec(), (NOON - WEEK, NOON)),
        (ReportSpec(daily=True), (NOON - WEEK, NOON)),
        (ReportSpec(start=NOON - 5), (NOON - 5, NOON)),
        (ReportSpec(duration=MAX_SPAN), (NOON - MAX_SPAN, NOON)),
    ],
)
def test_a_report_covers_the_span_that_it_names(spec: ReportSpec, span: tuple[int, int]) -> None:
    assert spec.span(NOON) == span


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (ReportSpec(start=NOON), "is not before the end"),
        (ReportSpec(duration=0), "is not before the end"),
        (ReportSpec(duration=MAX_SPAN + 1), "longer than 400 days"),
    ],
)
def test_an_impossible_span_is_refused(spec: ReportSpec, reason: str) -> None:
    with pytest.raises(ReportError, match=reason):
        spec.span(NOON)
