"""The tests of the API share these ids, these figures and the check of an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from http import HTTPStatus

    from aiohttp import ClientResponse

STORE = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
REPORT = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

CONTENT: dict[str, Any] = {
    "store_id": STORE,
    "reference_time": "2024-03-10T12:00:00Z",
    "uptime_last_hour": 59,
    "uptime_last_day": 3.0,
    "uptime_last_week": 167.88,
    "downtime_last_hour": 1,
    "downtime_last_day": 20.98,
    "downtime_last_week": 0.12,
    "timezone": "America/Chicago",
    "lookback": "1h",
    "default_status": "inactive",
    "polls_counted": 9,
}
CSV = (
    "store_id,uptime_last_hour,uptime_last_day,uptime_last_week,"
    "downtime_last_hour,downtime_last_day,downtime_last_week\n"
    f"{STORE},59,3.0,167.88,1,20.98,0.12\n"
)


async def problem_of(response: ClientResponse, status: HTTPStatus) -> str:
    """Return the detail of an error, which must be an RFC 9457 problem of this status."""
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    body = await response.json(content_type=None)
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["type"] == "about:blank"
    assert body["title"] == status.phrase
    assert body["status"] == status
    detail: str = body["detail"]
    assert detail
    assert "\n" not in detail
    assert "Traceback" not in detail
    assert len(detail) < 300
    return detail
