"""`GET /reports/{report_id}/diff` returns the rows that would differ now, and why."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.reports import comparison as module
from api.reports.diff import differences
from stream_app.contracts.report_requests import FleetRequest, ReportRequest
from stream_app.contracts.report_results import EXTRA_COLUMNS
from stream_app.domain.report import CSV_HEADER
from stream_app.domain.report_spec import ReportSpec
from tests.fakes import FakeGateway, report_state, rows_of_parts
from tests.unit.api.answers import CONTENT, REPORT, STORE, UNKNOWN, problem_of

if TYPE_CHECKING:
    from api.reports.view import StoredRows
    from tests.http_client import TestClient

NOON = 1_710_072_000_000_000
FULL: dict[str, Any] = {
    **CONTENT,
    "hours_version": "0a",
    "tzdata_version": "2026f",
    "columns": list(CSV_HEADER),
}


@pytest.fixture
def reported(gateway: FakeGateway) -> FakeGateway:
    """Return a gateway that has made a report of one store."""
    gateway.requests.append(ReportRequest(REPORT, STORE, spec=ReportSpec(), requested_at=5))
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=FULL)
    return gateway


async def diff(client: TestClient) -> dict[str, Any]:
    response = await client.get(f"/reports/{REPORT}/diff")
    assert response.status == HTTPStatus.OK
    body: dict[str, Any] = await response.json()
    return body


async def test_a_report_that_would_be_the_same_has_no_changes(
    client: TestClient, reported: FakeGateway
) -> None:
    reported.answers = [FULL]
    assert await diff(client) == {
        "report_id": REPORT,
        "reference_time": "2024-03-10T12:00:00Z",
        "same": True,
        "settings": [],
        "changed": 0,
        "changes": [],
    }
    # the same request for the same time, with a deadline of its own
    (query,) = reported.queries
    assert query == ReportRequest(query.report_id, STORE, NOON)
    assert query.report_id != REPORT


async def test_late_polls_and_other_hours_are_reported_as_causes(
    client: TestClient, reported: FakeGateway
) -> None:
    reported.answers = [
        {
            **FULL,
            "uptime_last_hour": 50,
            "downtime_last_hour": 10,
            "polls_counted": 11,
            "hours_version": "0b",
        }
    ]

    difference = await diff(client)

    assert (difference["same"], difference["changed"]) == (False, 1)
    assert difference["changes"] == [
        {
            "store_id": STORE,
            "change": "changed",
            "figures": {
                "uptime_last_hour": {"was": 59, "is": 50},
                "downtime_last_hour": {"was": 1, "is": 10},
            },
            "causes": [
                {"cause": "polls", "was": 9, "is": 11},
                {"cause": "business_hours", "was": "0a", "is": "0b"},
            ],
        }
    ]


async def test_other_settings_are_reported(client: TestClient, reported: FakeGateway) -> None:
    reported.answers = [{**FULL, "default_status": "active", "tzdata_version": "2027a"}]

    difference = await diff(client)

    assert difference["same"] is False
    assert difference["settings"] == [
        {"cause": "default_status", "was": "inactive", "is": "active"},
        {"cause": "tzdata_version", "was": "2026f", "is": "2027a"},
    ]


async def test_a_replaced_poll_is_the_cause_where_there_is_no_other(
    client: TestClient, reported: FakeGateway
) -> None:
    reported.answers = [{**FULL, "uptime_last_hour": 58}]
    (change,) = (await diff(client))["changes"]
    assert change["causes"] == [{"cause": "polls", "was": 9, "is": 9}]


async def test_a_daily_report_is_compared_day_by_day(
    client: TestClient, reported: FakeGateway
) -> None:
    def days(*minutes: int) -> dict[str, Any]:
        content = {name: FULL[name] for name in ("store_id", "reference_time", "timezone")}
        return content | {
            "columns": ["store_id", "date", "uptime_minutes"],
            "days": [
                {"date": f"2024-03-0{day}", "uptime_minutes": up, "polls_counted": up}
                for day, up in enumerate(minutes, 1)
            ],
        }

    reported.reports[REPORT] = report_state(REPORT, "complete", content=days(7, 8, 9))
    reported.answers = [days(7, 6, 9)]

    (change,) = (await diff(client))["changes"]
    assert (change["store_id"], change["date"]) == (STORE, "2024-03-02")
    assert change["figures"] == {"uptime_minutes": {"was": 8, "is": 6}}


async def test_a_fleet_report_lists_the_changed_stores_up_to_a_limit(
    client: TestClient, reported: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(*up: int) -> list[list[bytes]]:
        table = [
            [f"{n:08x}-0000-4000-8000-000000000000", m, 1, 1, 0, 0, 0, "UTC", "0a", m, 1.0, None]
            for n, m in enumerate(up)
        ]
        return [[json.dumps(table).encode()]]

    content = {
        "reference_time": FULL["reference_time"],
        "columns": list(CSV_HEADER),
        "further": list(EXTRA_COLUMNS),
    }
    reported.requests[:] = [FleetRequest(REPORT)]
    reported.reports[REPORT] = report_state(REPORT, "complete", content=content, parts=(1, 1))
    before, after = rows(1, 2, 3, 4), rows(1, 5, 6, 7, 8)

    def stored_rows(report_id: str) -> StoredRows:
        return rows_of_parts(before if report_id == REPORT else after)

    monkeypatch.setattr(reported, "stored_rows", stored_rows)
    monkeypatch.setattr(module, "MAX_CHANGES", 3)

    async def answer(request: Any) -> Any:
        return report_state(request.report_id, "complete", content=content, parts=(1, 1))

    monkeypatch.setattr(reported, "answer", answer)

    difference = await diff(client)

    assert difference["changed"] == 4
    assert [change["store_id"][7] for change in difference["changes"]] == ["1", "2", "3"]
    assert reported.bodies.budget.used == 0
    monkeypatch.setattr(module, "MAX_CHANGES", 9)
    last = (await diff(client))["changes"][-1]
    assert (last["change"], last["figures"]["uptime_last_hour"]) == (
        "added",
        {"was": None, "is": 8},
    )

    monkeypatch.setattr(reported.bodies.budget, "_limit", 10)
    response = await client.get(f"/reports/{REPORT}/diff")
    await problem_of(response, HTTPStatus.TOO_MANY_REQUESTS)


@pytest.mark.parametrize("status", ["pending", "running", "failed"])
async def test_only_a_complete_report_is_compared(
    client: TestClient, reported: FakeGateway, status: str
) -> None:
    reported.reports[REPORT] = report_state(REPORT, status)
    await problem_of(await client.get(f"/reports/{REPORT}/diff"), HTTPStatus.CONFLICT)


async def test_an_unknown_report_cannot_be_compared(
    client: TestClient, reported: FakeGateway
) -> None:
    await problem_of(await client.get(f"/reports/{UNKNOWN}/diff"), HTTPStatus.NOT_FOUND)
    reported.requests.clear()
    await problem_of(await client.get(f"/reports/{REPORT}/diff"), HTTPStatus.CONFLICT)


keys = st.dictionaries(st.text("ab", max_size=3), st.integers(0, 2), max_size=8)


@given(keys, keys)
def test_every_key_of_both_reports_is_compared_once(
    before: dict[str, int], after: dict[str, int]
) -> None:
    def rows(values: dict[str, int]) -> list[dict[str, Any]]:
        return [
            {"store_id": key, "up": values[key], "polls_counted": values[key]}
            for key in sorted(values)
        ]

    pairs = list(differences(rows(before), rows(after), ["store_id", "up"]))

    assert len(pairs) == len(before.keys() | after.keys())
    changes = {change.key["store_id"]: change for change in pairs if change is not None}
    assert changes.keys() == {
        key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    }
    for key, change in changes.items():
        assert change.figures["up"] == (before.get(key), after.get(key))
        kinds = {(True, True): "changed", (True, False): "removed", (False, True): "added"}
        assert change.kind == kinds[key in before, key in after]
