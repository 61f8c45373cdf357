"""A store in Chicago has this week, in which its clock goes forward (10 March 2024).

It is open from nine to nine, on Sundays from ten to six. It was down on Friday, and has been down
since this morning; in the night to Sunday and on Monday morning there are no polls.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

CHICAGO: Final = ZoneInfo("America/Chicago")
HOURS: Final = [[day, "09:00:00", "21:00:00"] for day in range(6)] + [[6, "10:00:00", "18:00:00"]]

START: Final = datetime(2024, 3, 5, 17, 20, tzinfo=UTC)
END: Final = datetime(2024, 3, 12, 17, 20, tzinfo=UTC)

_DOWN: Final = [
    (datetime(2024, 3, 8, 16, 0, tzinfo=UTC), datetime(2024, 3, 8, 18, 30, tzinfo=UTC)),
    (datetime(2024, 3, 9, 21, 0, tzinfo=UTC), datetime(2024, 3, 9, 21, 4, tzinfo=UTC)),
    (datetime(2024, 3, 12, 14, 45, tzinfo=UTC), END),
]
_SILENT: Final = [
    (datetime(2024, 3, 10, 4, 0, tzinfo=UTC), datetime(2024, 3, 10, 11, 0, tzinfo=UTC)),
    (datetime(2024, 3, 11, 13, 0, tzinfo=UTC), datetime(2024, 3, 11, 15, 30, tzinfo=UTC)),
]

OFFSETS: Final = [
    {"start": "2024-03-05T17:20:00Z", "offset_seconds": -6 * 3600},
    {"start": "2024-03-10T08:00:00Z", "offset_seconds": -5 * 3600},
]

Span = tuple[datetime, datetime]


def text(instant: datetime) -> str:
    """Return an instant as the API writes it."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def timeline(store_id: str) -> dict[str, Any]:
    """Return the answer of `GET /stores/{id}/timeline`."""
    intervals = _intervals()
    return {
        "store_id": store_id,
        "timezone": "America/Chicago",
        "start": text(START),
        "end": text(END),
        "stale_after": "2h",
        "coverage": 0.968,
        "utc_offsets": OFFSETS,
        "intervals": intervals,
        "days": [_day(start, end, intervals) for start, end in _days()],
    }


def incidents(store_id: str) -> dict[str, Any]:
    """Return the answer of `GET /stores/{id}/incidents`."""
    silent = datetime(2024, 3, 11, 14, 0, tzinfo=UTC), _SILENT[1][1]
    spans = [(*span, "reported") for span in _DOWN] + [(*silent, "silence")]
    return {
        "store_id": store_id,
        "timezone": "America/Chicago",
        "start": text(START),
        "end": text(END),
        "utc_offsets": OFFSETS,
        "incidents": [
            incident(start, end, cause) for start, end, cause in sorted(spans, reverse=True)
        ],
        "next": None,
    }


def incident(start: datetime, end: datetime, cause: str = "reported") -> dict[str, Any]:
    """Return an incident, which is ongoing where it lasts to the end of the week."""
    return {
        "start": text(start),
        "end": text(end),
        "began_earlier": start == START,
        "ongoing": end == END,
        "downtime_seconds": (end - start).total_seconds(),
        "unknown_downtime_seconds": (end - start).total_seconds() if cause == "silence" else 0.0,
        "cause": cause,
    }


def _days() -> list[Span]:
    midnights = [
        datetime.combine(date(2024, 3, day), time(), CHICAGO).astimezone(UTC)
        for day in range(6, 13)
    ]
    return list(zip([START, *midnights], [*midnights, END], strict=True))


def _open_spans() -> list[Span]:
    spans = []
    for number in range(5, 13):
        day = date(2024, 3, number)
        opens, closes = (10, 18) if day.weekday() == 6 else (9, 21)
        ends = [datetime.combine(day, time(hour), CHICAGO) for hour in (opens, closes)]
        spans.append((ends[0].astimezone(UTC), ends[1].astimezone(UTC)))
    return spans


def _within(instant: datetime, spans: list[Span]) -> bool:
    return any(start <= instant < end for start, end in spans)


def _intervals() -> list[dict[str, Any]]:
    opened = _open_spans()
    bounds = {bound for spans in (opened, _DOWN, _SILENT) for span in spans for bound in span}
    cuts = [START, *sorted(bound for bound in bounds if START < bound < END), END]
    intervals = []
    for start, end in pairwise(cuts):
        silent, down = _within(start, _SILENT), _within(start, _DOWN)
        status = "unknown" if silent else "inactive" if down else "active"
        intervals.append(
            {
                "start": text(start),
                "end": text(end),
                "open": _within(start, opened),
                "status": status,
                "counted_as": "inactive" if silent or down else "active",
            }
        )
    return intervals


def _day(start: datetime, end: datetime, intervals: list[dict[str, Any]]) -> dict[str, Any]:
    minutes = {"active": 0.0, "inactive": 0.0}
    unknown = {"active": 0.0, "inactive": 0.0}
    for interval in intervals:
        begins = max(start, datetime.fromisoformat(interval["start"]))
        ends = min(end, datetime.fromisoformat(interval["end"]))
        if interval["open"] and begins < ends:
            length = (ends - begins) / timedelta(minutes=1)
            minutes[interval["counted_as"]] += length
            if interval["status"] == "unknown":
                unknown[interval["counted_as"]] += length
    total = sum(minutes.values())
    covered = total - sum(unknown.values())
    return {
        "date": start.astimezone(CHICAGO).date().isoformat(),
        "start": text(start),
        "end": text(end),
        "uptime_minutes": minutes["active"],
        "downtime_minutes": minutes["inactive"],
        "unknown_uptime_minutes": unknown["active"],
        "unknown_downtime_minutes": unknown["inactive"],
        "whole_day": start > START and end < END,
        "coverage": round(covered / total, 3) if total else None,
    }


def silence(details: dict[str, Any]) -> None:
    """Change the answers about a store to those about a store without any poll."""
    details["summary"].update(state="unknown", last_poll=None)
    for window in details["summary"]["windows"]:
        opened = window["uptime_minutes"] + window["downtime_minutes"]
        window.update(_counted_as_down(opened))
    for interval in details["timeline"]["intervals"]:
        interval.update(status="unknown", counted_as="inactive")
    for day in details["timeline"]["days"]:
        day.update(_counted_as_down(day["uptime_minutes"] + day["downtime_minutes"]))
    seconds = 60 * details["summary"]["windows"][2]["downtime_minutes"]
    downtime = {"downtime_seconds": seconds, "unknown_downtime_seconds": seconds}
    details["incidents"]["incidents"] = [{**incident(START, END, "silence"), **downtime}]


def _counted_as_down(minutes: float) -> dict[str, Any]:
    return {
        "uptime_minutes": 0,
        "downtime_minutes": minutes,
        "unknown_uptime_minutes": 0,
        "unknown_downtime_minutes": minutes,
        "coverage": 0.0 if minutes else None,
    }
