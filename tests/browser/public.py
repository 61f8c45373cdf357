"""The real routes of the status page answer with content that a test sets."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import web

from api.http.problems import ProblemError, problem_middleware
from api.http.services import provide
from api.public.app import routes
from api.public.status import PublicStatus
from tests.browser.data import NOW, STORE, freshness

NAMES: Final = {"Downtown": STORE, "Harbour": "11111111-0000-4000-8000-000000000000"}


class CannedStatus:
    """A stand-in for `PublicStatus`, whose content a test sets.

    Attributes:
        chosen: the names of the stores by their ids, as in `PublicStatus`.
        document: the answer of `GET status.json`.
        failing: whether it raises an error instead.
        calls: number of calls of `content`.
    """

    def __init__(self) -> None:
        self.chosen = {store_id: name for name, store_id in NAMES.items()}
        self.document = content()
        self.failing = False
        self.calls = 0

    def require(self) -> None:
        """Do nothing, because the page always exists."""

    async def content(self) -> dict[str, Any]:
        self.calls += 1
        if self.failing:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the Kafka broker is out of reach")
        return self.document

    def app(self) -> web.Application:
        """Return the application, which can be served at any path."""
        app = web.Application(middlewares=[problem_middleware])
        provide(app, {PublicStatus: cast("PublicStatus", self)})
        app.add_routes(routes)
        return app


def content() -> dict[str, Any]:
    """Return the answer of `GET status.json`."""
    days = [
        _day("2024-03-05", 580, 0),
        _day("2024-03-06", 720, 0),
        _day("2024-03-07", 0, 720, coverage=0.0, unknown=720),
        _day("2024-03-08", 570, 150),
        _day("2024-03-09", 680, 40, coverage=0.95, unknown=36),
        _day("2024-03-10", 0, 0, coverage=None),
        _day("2024-03-11", 720, 0),
        {**_day("2024-03-12", 45, 155), "whole_day": False},
    ]
    quiet = {"downtime_minutes": 0, "unknown_downtime_minutes": 0}
    return {
        "title": "Store status",
        "now": NOW,
        "freshness": freshness(),
        "counts": {"up": 1, "down": 1, "closed": 0, "unknown": 0, "total": 2},
        "stores": [
            _store("Downtown", "down", days, 0.91799),
            _store("Harbour", "up", [{**day, **quiet} for day in days], 1.0),
        ],
    }


def _day(
    date: str, up: float, down: float, coverage: float | None = 1.0, unknown: float = 0
) -> dict[str, Any]:
    return {
        "date": date,
        "uptime_minutes": up,
        "downtime_minutes": down,
        "unknown_uptime_minutes": 0,
        "unknown_downtime_minutes": unknown,
        "coverage": coverage,
        "whole_day": True,
    }


def _store(name: str, state: str, days: list[dict[str, Any]], week: float) -> dict[str, Any]:
    return {
        "name": name,
        "store_id": NAMES[name],
        "state": state,
        "timezone": "America/Chicago",
        "local_time": "2024-03-12T12:20:00-05:00",
        "last_poll_at": "2024-03-12T17:09:00Z",
        "open_changes_at": "2024-03-13T02:00:00Z",
        "open_changes_local": "2024-03-12T21:00:00-05:00",
        "coverage": {"last_day": 1.0, "last_week": 1.0},
        "uptime": {"last_day": 0.784, "last_week": week},
        "days": days,
    }
