"""The details of one store in a report: windows, timeline, days, incidents and last poll."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

from stream_app.contracts.fields import status_name
from stream_app.contracts.report_results import MAX_INCIDENTS, MAX_INTERVALS
from stream_app.domain.local_days import is_whole_day
from stream_app.domain.observation import observe
from stream_app.domain.report_rows import build_rows
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timeline import incidents, timeline
from stream_app.domain.timestamps import SECOND, format_instant, parse_instant
from stream_app.domain.windows import WINDOWS, microsecond_reading, minute_reading
from stream_app.errors import ReportError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytz.tzinfo import BaseTzInfo

    from stream_app.contracts.report_requests import Include
    from stream_app.domain.observation import StoreObservation
    from stream_app.domain.store_facts import PollRules, StoreFacts
    from stream_app.domain.uptime import StoreStates

_DAILY: Final = ReportSpec(daily=True)


def store_details(
    details: Iterable[Include],
    facts: StoreFacts,
    states: StoreStates,
    rules: PollRules,
    newest_poll: int | None,
) -> dict[str, Any]:
    """Build the details that a request names.

    Args:
        details: the names of the details.
        facts: the facts of the store.
        states: the states of this one store over the time of the figures.
        rules: the rules by which its polls count.
        newest_poll: the store's newest poll of all, packed; None if it has no poll.

    Raises:
        ReportError: the details do not fit a record.
    """
    content: dict[str, Any] = {}
    details = tuple(details)
    if "timeline" in details or "incidents" in details:
        observed = observe(facts, states.start, states.end, rules)
    for detail in details:
        match detail:
            case "windows":
                content["windows"] = _windows(states)
            case "timeline":
                content["intervals"] = _intervals(observed)
            case "days":
                content["local_days"] = _days(states, facts.tz)
            case "incidents":
                content["incidents"] = _incidents(observed)
            case "last_poll":
                content["last_poll"] = _poll(newest_poll)
    return content


def _poll(packed: int | None) -> dict[str, str] | None:
    if packed is None:
        return None
    return {
        "status": status_name(bool(packed & 1)),
        "timestamp_utc": format_instant(packed >> 1),
    }


def _windows(states: StoreStates) -> list[dict[str, Any]]:
    end = states.end
    # a window that begins before the time of the report would be incomplete
    complete = {name: length for name, length in WINDOWS.items() if end - length >= states.start}
    windows = states.last_windows(complete.values())
    split = states.split(windows, minute_reading)
    exact = states.split(windows, microsecond_reading)
    return [
        {
            "name": name,
            "start": format_instant(end - length),
            "end": format_instant(end),
            "uptime_minutes": int(split.up[place, 0]),
            "downtime_minutes": int(split.down[place, 0]),
            "unknown_uptime_minutes": int(split.unknown_up[place, 0]),
            "unknown_downtime_minutes": int(split.unknown_down[place, 0]),
            "coverage": exact[place].coverage()[0],
        }
        for place, (name, length) in enumerate(complete.items())
    ]


def _intervals(observed: StoreObservation) -> list[dict[str, Any]]:
    segments = timeline(observed)
    if len(segments) > MAX_INTERVALS:
        raise ReportError(
            f"the timeline has {len(segments):,} intervals, more than {MAX_INTERVALS:,}: "
            "ask for a shorter time"
        )
    return [
        {
            "start": format_instant(segment.start),
            "end": format_instant(segment.end),
            "open": segment.open,
            "status": segment.status,
            "counted_as": "active" if segment.active else "inactive",
        }
        for segment in segments
    ]


def _days(states: StoreStates, tz: BaseTzInfo) -> list[dict[str, Any]]:
    (rows,) = build_rows(_DAILY, [""], states, [tz])
    # the rows of a daily report without the id of the store
    return [
        {
            **dict(zip(_DAILY.columns[1:], row.values[1:], strict=True)),
            **dict(zip(_DAILY.unknown_columns, row.unknown, strict=True)),
            "coverage": row.coverage,
            "whole_day": is_whole_day(
                tz,
                date.fromisoformat(row.values[1]),
                parse_instant(row.values[2]),
                parse_instant(row.values[3]),
            ),
        }
        for row in rows
    ]


def _incidents(observed: StoreObservation) -> list[dict[str, Any]]:
    return [
        {
            "start": format_instant(incident.start),
            "end": format_instant(incident.end),
            "ongoing": incident.ongoing,
            "began_earlier": incident.began_earlier,
            "downtime_seconds": incident.downtime / SECOND,
            "unknown_downtime_seconds": incident.unknown / SECOND,
            "cause": "reported" if incident.reported else "silence",
        }
        for incident in reversed(incidents(observed)[-MAX_INCIDENTS:])
    ]
