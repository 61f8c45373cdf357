"""The data of the backend is a fleet, and a store with a week: the same in every test."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from api.http.problems import ProblemError
from tests.browser import week
from tests.browser.week import text

NOW: Final = "2024-03-12T17:20:00Z"
FIGURES_AT: Final = "2024-03-12T17:19:00Z"
STORE: Final = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
UNKNOWN: Final = "00000000-0000-4000-8000-000000000000"
REPORT: Final = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
ZONE: Final = "America/Chicago"
CSV_NAME: Final = "uptime-2024-03-12T1720Z.csv"
CSV: Final = "store_id,uptime_last_hour\n" + STORE + ",59\n"

ZONES: Final = (ZONE, "America/Denver", "America/New_York", "America/Los_Angeles", "Asia/Beirut")

_NOW: Final = datetime.fromisoformat(NOW)
_STATES: Final = ("down",) * 3 + ("unknown",) * 5 + ("up",) * 100 + ("closed",) * 12


def fleet() -> list[dict[str, Any]]:
    """Return 120 stores; STORE is the worst of them."""
    chance = random.Random(6)
    stores = []
    for index, state in enumerate(_STATES):
        store_id = STORE if index == 0 else str(UUID(int=chance.getrandbits(128), version=4))
        stores.append(_store(chance, store_id, state, ZONES[index % len(ZONES)]))
    stores[0]["figures"].update(downtime_last_day=9.5, uptime_last_day=0.5)
    return stores


def _store(chance: random.Random, store_id: str, state: str, zone: str) -> dict[str, Any]:
    # none of the others is down for as long as STORE
    down = round(chance.uniform(0.2, 9), 2) if state == "down" else 0.0
    ago = timedelta(hours=5) if state == "unknown" else timedelta(minutes=chance.randint(1, 90))
    status = "inactive" if state == "down" else "active"
    return {
        "store_id": store_id,
        "state": state,
        "timezone": zone,
        "local_time": _NOW.astimezone(ZoneInfo(zone)).isoformat(),
        "last_poll": {"status": status, "timestamp_utc": text(_NOW - ago)},
        "open_changes_at": text(_NOW + timedelta(hours=4)),
        "figures": {
            "uptime_last_hour": 0 if state == "down" else 60,
            "uptime_last_day": round(10 - down, 2),
            "uptime_last_week": round(70 - 2 * down - 0.3, 2),
            "downtime_last_hour": 60 if state == "down" else 0,
            "downtime_last_day": down,
            "downtime_last_week": round(2 * down + 0.3, 2),
            "coverage": round(chance.uniform(0.85, 1), 3),
        },
    }


def freshness(**fields: Any) -> dict[str, Any]:
    """Return the age of the data as the API answers it: live, unless `fields` say otherwise."""
    return {
        "at": NOW,
        "as_of": NOW,
        "delayed": False,
        "part": None,
        "reason": None,
        "newest_poll": NOW,
        "newest_poll_stale": False,
        **fields,
    }


def silent_figures(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a store without polls: all time counts as down, without data."""
    hours = {name: 60 if name.endswith("hour") else 10.0 for name in figures if "time_last" in name}
    counted = {name: amount if name.startswith("down") else 0 for name, amount in hours.items()}
    return {
        **counted,
        "coverage": 0.0,
        **{f"unknown_{name}": amount for name, amount in counted.items()},
    }


def unknown_store(store_id: str) -> ProblemError:
    """Return the error of the API about an unknown store."""
    return ProblemError(
        HTTPStatus.NOT_FOUND, f"store {store_id} is unknown: it has no poll, hours or timezone"
    )


def details() -> dict[str, Any]:
    """Return the answers about STORE besides its row in the fleet, by the end of their paths."""
    return {
        "summary": summary(fleet()[0]),
        "timeline": week.timeline(STORE),
        "incidents": week.incidents(STORE),
    }


def summary(store: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of `GET /stores/{id}/summary`, with figures that fit the week."""
    return {
        "store_id": store["store_id"],
        "state": store["state"],
        "now": NOW,
        "local_time": store["local_time"],
        "utc_offsets": [{"start": "2024-03-10T08:00:00Z", "offset_seconds": -5 * 3600}],
        "timezone": store["timezone"],
        "business_hours": week.HOURS,
        "open_changes_at": text(datetime(2024, 3, 13, 2, tzinfo=UTC)),
        "last_poll": store["last_poll"],
        "unknown_timezone": None,
        "reference_time": NOW,
        "stale_after": "2h",
        "lookback": "1h",
        "default_status": "inactive",
        "windows": [
            _window("last_hour", timedelta(hours=1), 0, 60, 1.0),
            _window("last_day", timedelta(days=1), 565, 155, 1.0),
            _window("last_week", timedelta(days=7), 4406, 394, 0.9812, 90),
        ],
    }


def _window(
    name: str,
    length: timedelta,
    up: float,
    down: float,
    coverage: float | None,
    unknown: float = 0,
) -> dict[str, Any]:
    return {
        "name": name,
        "start": text(_NOW - length),
        "end": NOW,
        "uptime_minutes": up,
        "downtime_minutes": down,
        "unknown_uptime_minutes": 0,
        "unknown_downtime_minutes": unknown,
        "coverage": coverage,
    }
