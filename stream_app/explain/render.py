"""A verdict as people and programs read it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from stream_app.contracts.topics import (
    STORE_STATUS,
)
from stream_app.domain.timestamps import SECOND, format_instant, to_datetime
from stream_app.domain.timezones import find_zone
from stream_app.settings import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream_app.explain.comparison import Verdict
    from stream_app.explain.recompute import Counted, Stretch
    from stream_app.explain.reference_model import Row
    from stream_app.explain.reported import Claim

SHOWN_STRETCHES: Final = 20
"""The newest ones; JSON has all."""

SHOWN_REASONS: Final = 10

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def content_of(report_id: str, claim: Claim, verdict: Verdict) -> dict[str, Any]:
    """All of it, for programs."""
    found = verdict.recount
    return {
        "report_id": report_id,
        "store_id": claim.store_id,
        "outcome": verdict.outcome,
        "reasons": verdict.reasons,
        "notes": verdict.notes,
        "start": format_instant(claim.start),
        "reference_time": format_instant(claim.end),
        "lookback": format_duration(claim.lookback),
        "stale_after": format_duration(claim.stale_after),
        "default_status": _status(claim.default_active),
        "timezone": claim.timezone,
        "tzdata_version": claim.tzdata_version,
        "business_hours": verdict.hours,
        "hours_version": claim.hours_version,
        "partition": claim.partition,
        "input_offsets": claim.offsets,
        "polls_up_to_offset": verdict.up_to,
        "polls_counted": None if found is None else found.polls_counted,
        "coverage": None if found is None else found.coverage,
        "windows": [] if found is None else [_window(claim, window) for window in found.windows],
        "stretches": []
        if found is None
        else [_stretch(claim, verdict, stretch) for stretch in found.stretches],
    }


def lines_of(report_id: str, claim: Claim, verdict: Verdict) -> Iterator[str]:
    """The same, for people."""
    yield f"report {report_id} of store {claim.store_id}"
    yield f"  from        {_both_clocks(claim, claim.start)}"
    yield f"  to          {_both_clocks(claim, claim.end)}"
    yield ""
    yield "it rests on"
    offset = claim.offsets[STORE_STATUS.name]
    yield (
        f"  polls       those of {STORE_STATUS.name}/{claim.partition} below offset {offset}, from "
        f"{format_duration(claim.lookback)} before the start on (lookback)"
    )
    yield f"  hours       {_hours(verdict.hours)} (version {claim.hours_version})"
    yield f"  zone        {claim.timezone}, tzdata {claim.tzdata_version}"
    yield (
        f"  defaults    {_status(claim.default_active)} where no poll tells; a poll speaks for "
        f"{format_duration(claim.stale_after)}"
    )
    if verdict.recount is not None:
        yield from _figures(claim, verdict)
    yield ""
    for note in verdict.notes:
        yield f"note: {note}"
    yield from _outcome(verdict)


def _figures(claim: Claim, verdict: Verdict) -> Iterator[str]:
    found = verdict.recount
    assert found is not None  # noqa: S101  for the type: the caller has looked
    unit = "seconds" if claim.exact else "minutes"
    yield ""
    yield (
        f"{'recomputed, in ' + unit:<24} {'open':>14} {'up':>14} {'down':>14} {'without data':>14}"
    )
    for window in found.windows:
        amounts = (
            window.up + window.down,
            window.up,
            window.down,
            window.unknown_up + window.unknown_down,
        )
        columns = " ".join(f"{_amount(claim, amount):>14}" for amount in amounts)
        yield f"  {window.name:<22} {columns}"
    yield f"  {'polls counted':<22} {found.polls_counted:>14}"
    coverage = "never open" if found.coverage is None else found.coverage
    yield f"  {'coverage':<22} {coverage:>14}"
    yield ""
    yield f"stretches of status, on the store's clock ({unit} of it open)"
    earlier = len(found.stretches) - SHOWN_STRETCHES
    if earlier > 0:
        yield f"  ... {earlier:,} earlier ones: --format json has them"
    for stretch in found.stretches[-SHOWN_STRETCHES:]:
        yield (
            f"  {_local(claim, stretch.start)}  {_local(claim, stretch.end)}  "
            f"{_amount(claim, stretch.open):>10}  {_status(stretch.active):<8}  "
            f"{_said_by(claim, verdict, stretch)}"
        )


def _outcome(verdict: Verdict) -> Iterator[str]:
    if verdict.outcome == "agrees":
        yield "agrees: every figure, polls counted and coverage"
        return
    for reason in verdict.reasons[:SHOWN_REASONS]:
        yield f"{verdict.outcome}: {reason}"
    if len(verdict.reasons) > SHOWN_REASONS:
        yield f"... and {len(verdict.reasons) - SHOWN_REASONS:,} more: --format json has them"


def _window(claim: Claim, window: Counted) -> dict[str, Any]:
    unit = "seconds" if claim.exact else "minutes"
    reported = claim.rows[window.row] if window.row < len(claim.rows) else {}
    return {
        "window": window.name,
        f"open_{unit}": _amount(claim, window.up + window.down),
        f"up_{unit}": _amount(claim, window.up),
        f"down_{unit}": _amount(claim, window.down),
        f"unknown_up_{unit}": _amount(claim, window.unknown_up),
        f"unknown_down_{unit}": _amount(claim, window.unknown_down),
        "reported": {column: reported.get(column) for column in window.columns},
    }


def _stretch(claim: Claim, verdict: Verdict, stretch: Stretch) -> dict[str, Any]:
    unit = "seconds" if claim.exact else "minutes"
    said: dict[str, Any] | None = None
    if stretch.poll is not None:
        seen = verdict.polls[stretch.poll]
        said = {"timestamp_utc": format_instant(seen.instant), "offset": seen.offset}
    return {
        "start": format_instant(stretch.start),
        "end": format_instant(stretch.end),
        f"open_{unit}": _amount(claim, stretch.open),
        "status": _status(stretch.active),
        "first_poll": said,
    }


def _said_by(claim: Claim, verdict: Verdict, stretch: Stretch) -> str:
    if stretch.poll is None:
        return "by default: no poll before"
    seen = verdict.polls[stretch.poll]
    text = (
        f"poll of {format_instant(seen.instant)}, {STORE_STATUS.name}/{claim.partition}/"
        f"{seen.offset}"
    )
    if stretch.last_poll not in (None, stretch.poll):
        text += f", and on to that of {format_instant(stretch.last_poll or 0)}"
    return text


def _amount(claim: Claim, amount: int) -> float:
    return amount / SECOND if claim.exact else amount


def _status(active: bool) -> str:
    return "active" if active else "inactive"


def _local(claim: Claim, instant: int) -> str:
    moment = to_datetime(instant)
    tz = find_zone(claim.timezone)
    return format(moment if tz is None else moment.astimezone(tz), "%a %Y-%m-%d %H:%M:%S %Z")


def _both_clocks(claim: Claim, instant: int) -> str:
    return f"{format_instant(instant)}, {_local(claim, instant)}"


def _hours(rows: Sequence[Row] | None) -> str:
    if not rows:
        return "none: always open"
    by_times = groupby(sorted(rows, key=lambda row: (row[1:], row[0])), key=lambda row: row[1:])
    return "; ".join(
        f"{' '.join(_DAYS[day] if 0 <= day < len(_DAYS) else str(day) for day, _, _ in same)} "
        f"{opens}-{closes}"
        for (opens, closes), same in by_times
    )
