"""Renders the result of a comparison as text or JSON."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from stream_app.contracts.topics import STORE_STATUS
from stream_app.domain.timestamps import SECOND, format_instant, to_datetime
from stream_app.domain.timezones import find_timezone
from stream_app.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream_app.explain.comparison import Comparison
    from stream_app.explain.recompute import Recomputation, StatusRun, WindowCount
    from stream_app.explain.reference_model import Row
    from stream_app.explain.reported import ReportedResult

SHOWN_STATUS_RUNS: Final = 20
"""Most runs of one status that the text shows: the newest ones. JSON has all."""

SHOWN_REASONS: Final = 10
"""Most reasons that the text shows; JSON has all."""

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def to_json(report_id: str, reported: ReportedResult, comparison: Comparison) -> dict[str, Any]:
    """Return the whole result as a JSON object."""
    recomputation = comparison.recomputation
    return {
        "report_id": report_id,
        "store_id": reported.store_id,
        "outcome": comparison.outcome,
        "reasons": comparison.reasons,
        "notes": comparison.notes,
        "start": format_instant(reported.start),
        "reference_time": format_instant(reported.end),
        "lookback": format_duration(reported.lookback),
        "stale_after": format_duration(reported.stale_after),
        "default_status": _status(reported.default_active),
        "timezone": reported.timezone,
        "tzdata_version": reported.tzdata_version,
        "business_hours": comparison.hours,
        "hours_version": reported.hours_version,
        "partition": reported.partition,
        "input_offsets": reported.offsets,
        "polls_up_to_offset": comparison.compared_up_to,
        "polls_counted": None if recomputation is None else recomputation.polls_counted,
        "coverage": None if recomputation is None else recomputation.coverage,
        "windows": []
        if recomputation is None
        else [_window(reported, window) for window in recomputation.windows],
        "stretches": []
        if recomputation is None
        else [_status_run(reported, comparison, run) for run in recomputation.status_runs],
    }


def to_text(report_id: str, reported: ReportedResult, comparison: Comparison) -> Iterator[str]:
    """Yield the lines of the text form."""
    yield f"report {report_id} of store {reported.store_id}"
    yield f"  from        {_both_clocks(reported, reported.start)}"
    yield f"  to          {_both_clocks(reported, reported.end)}"
    yield ""
    yield "it was computed from"
    offset = reported.offsets[STORE_STATUS.name]
    yield (
        f"  polls       those of {STORE_STATUS.name}/{reported.partition} below offset {offset}, "
        f"from {format_duration(reported.lookback)} before the start on (lookback)"
    )
    yield f"  hours       {_hours(comparison.hours)} (version {reported.hours_version})"
    yield f"  timezone    {reported.timezone}, tzdata {reported.tzdata_version}"
    yield (
        f"  defaults    {_status(reported.default_active)} where no poll gives one; a poll covers "
        f"{format_duration(reported.stale_after)}"
    )
    if comparison.recomputation is not None:
        yield from _figures(reported, comparison, comparison.recomputation)
    yield ""
    for note in comparison.notes:
        yield f"note: {note}"
    yield from _outcome(comparison)


def _figures(
    reported: ReportedResult, comparison: Comparison, recomputation: Recomputation
) -> Iterator[str]:
    unit = "seconds" if reported.spec.exact else "minutes"
    yield ""
    yield (
        f"{'recomputed, in ' + unit:<24} {'open':>14} {'up':>14} {'down':>14} {'without data':>14}"
    )
    for window in recomputation.windows:
        amounts = (
            window.up + window.down,
            window.up,
            window.down,
            window.unknown_up + window.unknown_down,
        )
        columns = " ".join(f"{_amount(reported, amount):>14}" for amount in amounts)
        yield f"  {window.name:<22} {columns}"
    yield f"  {'polls counted':<22} {recomputation.polls_counted:>14}"
    coverage = "never open" if recomputation.coverage is None else recomputation.coverage
    yield f"  {'coverage':<22} {coverage:>14}"
    yield ""
    yield f"runs of one status, on the store's clock ({unit} of it open)"
    earlier = len(recomputation.status_runs) - SHOWN_STATUS_RUNS
    if earlier > 0:
        yield f"  ... {earlier:,} earlier ones: --format json has them"
    for run in recomputation.status_runs[-SHOWN_STATUS_RUNS:]:
        yield (
            f"  {_local(reported, run.start)}  {_local(reported, run.end)}  "
            f"{_amount(reported, run.open):>10}  {_status(run.active):<8}  "
            f"{_first_poll(reported, comparison, run)}"
        )


def _outcome(comparison: Comparison) -> Iterator[str]:
    if comparison.outcome == "agrees":
        yield "agrees: every figure, polls counted and coverage"
        return
    for reason in comparison.reasons[:SHOWN_REASONS]:
        yield f"{comparison.outcome}: {reason}"
    if len(comparison.reasons) > SHOWN_REASONS:
        yield f"... and {len(comparison.reasons) - SHOWN_REASONS:,} more: --format json has them"


def _window(reported: ReportedResult, window: WindowCount) -> dict[str, Any]:
    unit = "seconds" if reported.spec.exact else "minutes"
    row = reported.rows[window.row] if window.row < len(reported.rows) else {}
    return {
        "window": window.name,
        f"open_{unit}": _amount(reported, window.up + window.down),
        f"up_{unit}": _amount(reported, window.up),
        f"down_{unit}": _amount(reported, window.down),
        f"unknown_up_{unit}": _amount(reported, window.unknown_up),
        f"unknown_down_{unit}": _amount(reported, window.unknown_down),
        "reported": {column: row.get(column) for column in window.columns},
    }


def _status_run(reported: ReportedResult, comparison: Comparison, run: StatusRun) -> dict[str, Any]:
    unit = "seconds" if reported.spec.exact else "minutes"
    first_poll: dict[str, Any] | None = None
    if run.poll is not None:
        poll = comparison.polls[run.poll]
        first_poll = {"timestamp_utc": format_instant(poll.instant), "offset": poll.offset}
    return {
        "start": format_instant(run.start),
        "end": format_instant(run.end),
        f"open_{unit}": _amount(reported, run.open),
        "status": _status(run.active),
        "first_poll": first_poll,
    }


def _first_poll(reported: ReportedResult, comparison: Comparison, run: StatusRun) -> str:
    if run.poll is None:
        return "by default: no poll before"
    poll = comparison.polls[run.poll]
    text = (
        f"poll of {format_instant(poll.instant)}, {STORE_STATUS.name}/{reported.partition}/"
        f"{poll.offset}"
    )
    if run.last_poll not in (None, run.poll):
        text += f", and on to that of {format_instant(run.last_poll or 0)}"
    return text


def _amount(reported: ReportedResult, amount: int) -> float:
    return amount / SECOND if reported.spec.exact else amount


def _status(active: bool) -> str:
    return "active" if active else "inactive"


def _local(reported: ReportedResult, instant: int) -> str:
    moment = to_datetime(instant)
    tz = find_timezone(reported.timezone)
    return format(moment if tz is None else moment.astimezone(tz), "%a %Y-%m-%d %H:%M:%S %Z")


def _both_clocks(reported: ReportedResult, instant: int) -> str:
    return f"{format_instant(instant)}, {_local(reported, instant)}"


def _hours(rows: Sequence[Row] | None) -> str:
    if not rows:
        return "none: always open"
    by_times = groupby(sorted(rows, key=lambda row: (row[1:], row[0])), key=lambda row: row[1:])
    return "; ".join(
        f"{' '.join(_DAYS[day] if 0 <= day < len(_DAYS) else str(day) for day, _, _ in same)} "
        f"{opens}-{closes}"
        for (opens, closes), same in by_times
    )
