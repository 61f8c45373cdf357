"""A complete report is answered in several forms, with its provenance beside the figures."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import polars
import pytest

from api.reports.parquet import PARQUET_FACTOR
from stream_app.contracts.report_requests import FleetRequest, ReportRequest
from stream_app.contracts.report_results import EXTRA_COLUMNS
from stream_app.domain.report import CSV_HEADER
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import DAY
from stream_app.worker.report_document import extra_columns
from tests.fakes import FakeGateway, report_state
from tests.unit.api.answers import CONTENT, CSV, REPORT, STORE, problem_of

if TYPE_CHECKING:
    from tests.http_client import TestClient

NOON = 1_710_072_000_000_000  # 2024-03-10T12:00:00Z
PARQUET = "application/vnd.apache.parquet"
FULL: dict[str, Any] = {
    **CONTENT,
    "business_hours": None,
    "hours_version": "0a1b",
    "stale_after": "2h",
    "tzdata_version": "2026f",
    "coverage": 0.75,
    "input_offsets": {"store-status": {"3": 17}, "store-timezones": {"3": 1}},
    "columns": list(CSV_HEADER),
}
DAILY_COLUMNS = ["store_id", "date", "start", "end", "uptime_minutes", "downtime_minutes"]
DAILY: dict[str, Any] = {
    "store_id": STORE,
    "reference_time": "2024-03-10T12:00:00Z",
    "columns": DAILY_COLUMNS,
    "days": [
        {
            "date": f"2024-03-{day:02}",
            "start": f"2024-03-{day:02}T06:00:00Z",
            "end": f"2024-03-{day + 1:02}T06:00:00Z",
            "uptime_minutes": 600,
            "downtime_minutes": day,
        }
        for day in (8, 9)
    ],
}


UNKNOWN_MINUTES = ("unknown_uptime_minutes", "unknown_downtime_minutes")


def read(body: bytes) -> polars.DataFrame:
    return polars.read_parquet(io.BytesIO(body))


async def test_headers_of_the_csv_have_the_provenance_of_the_figures(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=FULL)

    response = await client.get(f"/get_report/{REPORT}")

    assert await response.text() == CSV
    assert {name: text for name, text in response.headers.items() if name.startswith("X-")} == {
        "X-Content-Type-Options": "nosniff",
        "X-Report-Status": "Complete",
        "X-Reference-Time": "2024-03-10T12:00:00Z",
        "X-Lookback": "1h",
        "X-Default-Status": "inactive",
        "X-Stale-After": "2h",
        "X-Timezone": "America/Chicago",
        "X-Hours-Version": "0a1b",
        "X-Tzdata-Version": "2026f",
        "X-Polls-Counted": "9",
        "X-Coverage": "0.75",
        "X-Input-Offsets": "store-status=3:17; store-timezones=3:1",
    }


async def test_headers_do_not_grow_beyond_what_clients_accept(
    client: TestClient, gateway: FakeGateway
) -> None:
    offsets = {"store-status": {str(partition): 10**9 for partition in range(1000)}}
    gateway.reports[REPORT] = report_state(
        REPORT, "complete", content={**FULL, "input_offsets": offsets}
    )

    response = await client.get(f"/get_report/{REPORT}")
    assert "X-Input-Offsets" not in response.headers
    json_form = await client.get(f"/get_report/{REPORT}", headers={"Accept": "application/json"})
    assert (await json_form.json())["input_offsets"] == offsets


async def test_a_daily_report_is_answered_in_all_forms(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=DAILY)

    text = await (await client.get(f"/get_report/{REPORT}")).text()
    assert text.splitlines() == [
        ",".join(DAILY_COLUMNS),
        f"{STORE},2024-03-08,2024-03-08T06:00:00Z,2024-03-09T06:00:00Z,600,8",
        f"{STORE},2024-03-09,2024-03-09T06:00:00Z,2024-03-10T06:00:00Z,600,9",
    ]
    response = await client.get(f"/get_report/{REPORT}", headers={"Accept": PARQUET})
    assert response.headers["Content-Type"] == PARQUET
    assert f"report-{REPORT}.parquet" in response.headers["Content-Disposition"]
    frame = read(await response.read())
    assert frame.columns == DAILY_COLUMNS
    assert frame.row(1) == (
        STORE,
        date(2024, 3, 9),
        datetime(2024, 3, 9, 6, tzinfo=UTC),
        datetime(2024, 3, 10, 6, tzinfo=UTC),
        600,
        9,
    )


UNKNOWN = {name: place for place, name in enumerate(ReportSpec().unknown_columns)}
COLUMNS = "reference_time,coverage,unknown"


async def test_further_columns_follow_the_usual_ones_and_only_on_request(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=FULL | UNKNOWN)

    usual = await client.get(f"/get_report/{REPORT}")
    assert await usual.text() == CSV
    assert f'filename="report-{REPORT}.csv"' in usual.headers["Content-Disposition"]

    further = await client.get(f"/get_report/{REPORT}?columns={COLUMNS}")
    header, row = CSV.splitlines()
    assert (await further.text()).splitlines() == [
        f"{header},reference_time,coverage,{','.join(UNKNOWN)}",
        f"{row},2024-03-10T12:00:00Z,0.75,0,1,2,3,4,5",
    ]
    assert 'filename="uptime-2024-03-10T1200Z.csv"' in further.headers["Content-Disposition"]

    # the JSON form has all columns anyway
    json_form = await client.get(
        f"/get_report/{REPORT}?columns={COLUMNS}", headers={"Accept": "application/json"}
    )
    assert (await json_form.json())["coverage"] == 0.75


async def test_a_report_of_an_earlier_version_has_further_columns_that_are_empty(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=FULL)
    text = await (await client.get(f"/get_report/{REPORT}?columns=unknown")).text()
    assert text.splitlines()[1].endswith(",,,,,,")


async def test_further_columns_of_a_daily_report_are_those_of_the_day(
    client: TestClient, gateway: FakeGateway
) -> None:
    days = [
        {**day, "coverage": 0.25, "unknown_uptime_minutes": 7, "unknown_downtime_minutes": 9}
        for day in DAILY["days"]
    ]
    gateway.reports[REPORT] = report_state(REPORT, "complete", content={**DAILY, "days": days})

    text = await (await client.get(f"/get_report/{REPORT}?columns={COLUMNS}")).text()

    assert text.splitlines() == [
        ",".join([*DAILY_COLUMNS, *COLUMNS.split(",")[:2], *UNKNOWN_MINUTES]),
        *(
            f"{STORE},2024-03-0{day},2024-03-0{day}T06:00:00Z,"
            f"2024-03-{day + 1:02}T06:00:00Z,600,{day},2024-03-10T12:00:00Z,0.25,7,9"
            for day in (8, 9)
        ),
    ]


async def test_a_report_of_many_stores_has_further_columns_on_request(
    client: TestClient, gateway: FakeGateway
) -> None:
    provenance = ["UTC", "0a", 9, None, None]
    row = [STORE, 60, 1.5, 2.0, 0, 0.0, 1.0, *provenance, 0, 0.0, 0.5, 0, 0.0, 1.0]
    gateway.rows[REPORT] = [[json.dumps([row]).encode()]]
    content = {
        "reference_time": "2024-03-10T12:00:00Z",
        "columns": list(CSV_HEADER),
        "further": list(extra_columns(ReportSpec())),
    }
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=content, parts=(1, 1))
    path = f"/get_report/{REPORT}"

    usual = await (await client.get(path)).text()
    assert usual == ",".join(CSV_HEADER) + f"\n{STORE},60,1.5,2.0,0,0.0,1.0\n"
    further = await client.get(f"{path}?columns={COLUMNS}")
    assert (await further.text()).splitlines() == [
        f"{','.join(CSV_HEADER)},reference_time,coverage,{','.join(UNKNOWN)}",
        f"{STORE},60,1.5,2.0,0,0.0,1.0,2024-03-10T12:00:00Z,,0,0.0,0.5,0,0.0,1.0",
    ]
    frame = read(
        await (await client.get(f"{path}?columns={COLUMNS}", headers={"Accept": PARQUET})).read()
    )
    assert frame.columns == [*CSV_HEADER, *extra_columns(ReportSpec()), "reference_time"]
    assert frame["reference_time"][0] == datetime(2024, 3, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize("query", ["columns=uptime", "columns=coverage,x", "format=json"])
async def test_unknown_columns_and_parameters_are_refused(
    client: TestClient, gateway: FakeGateway, query: str
) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=FULL)
    await problem_of(
        await client.get(f"/get_report/{REPORT}?{query}"), HTTPStatus.UNPROCESSABLE_ENTITY
    )


async def test_a_fleet_report_as_parquet_is_the_same_as_json(
    client: TestClient, gateway: FakeGateway
) -> None:
    rows = [
        [f"{n:08x}-0000-4000-8000-000000000000", n, 1.5, 2, 0, 0.0, 1.0, *further]
        for n, further in (
            (1, ["UTC", "0a", 1, None, None]),
            (2, ["UTC", "0a", 2, 0.5, "utc"]),
            (3, ["UTC", "0a", 3, 1, None]),
        )
    ]
    content = {"reference_time": "2024-03-10T12:00:00Z", "columns": list(CSV_HEADER)}
    content["further"] = list(EXTRA_COLUMNS)
    gateway.rows[REPORT] = [
        [json.dumps(rows[1:2]).encode()],
        [json.dumps(rows[:1]).encode(), json.dumps(rows[2:]).encode()],
    ]
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=content, parts=(2, 2))

    json_form = await client.get(f"/get_report/{REPORT}", headers={"Accept": "application/json"})
    body = await json_form.json()
    response = await client.get(f"/get_report/{REPORT}", headers={"Accept": PARQUET})

    frame = read(await response.read())
    assert frame.columns == [*CSV_HEADER, *EXTRA_COLUMNS]
    assert frame.to_dicts() == body["reports"]
    assert body["columns"] == list(CSV_HEADER)
    assert "further" not in body
    assert gateway.bodies.budget.used == 0


async def test_parquet_needs_more_memory_than_its_rows(
    client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.rows[REPORT] = [[b"[]" + b" " * 98]]
    content = {"reference_time": "2024-03-10T12:00:00Z"}
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=content, parts=(1, 1))
    monkeypatch.setattr(gateway.bodies.budget, "_limit", PARQUET_FACTOR * 100)
    acquired = gateway.bodies.budget.try_acquire(1)
    assert acquired

    assert (await client.get(f"/get_report/{REPORT}")).status == HTTPStatus.OK
    refused = await client.get(f"/get_report/{REPORT}", headers={"Accept": PARQUET})
    await problem_of(refused, HTTPStatus.TOO_MANY_REQUESTS)


async def test_a_report_that_is_too_large_for_parquet_is_answered_as_csv_alone(
    client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [[f"{n:08x}-0000-4000-8000-000000000000", 0, 1.5, 2, 0, 0.0, 1.0] for n in range(9)]
    gateway.rows[REPORT] = [[json.dumps([row]).encode() for row in rows]]
    content = {"reference_time": "2024-03-10T12:00:00Z", "further": []}
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=content, parts=(1, 1))
    # the memory of one answer is less than the report, and more than each of its chunks
    monkeypatch.setattr(gateway.bodies.budget, "_limit", 150)

    refused = await client.get(f"/get_report/{REPORT}", headers={"Accept": PARQUET})
    assert "take CSV or JSON" in await problem_of(refused, HTTPStatus.NOT_ACCEPTABLE)
    answer = await client.get(f"/get_report/{REPORT}")
    assert (await answer.text()).count("\n") == 10
    assert gateway.bodies.budget.used == 0


# -- requests for other figures


@pytest.mark.parametrize(
    ("body", "reference", "form"),
    [
        ({"duration": "P2D"}, None, ReportSpec(duration=2 * DAY)),
        ({"start": "2024-03-09T12:00:00Z"}, None, ReportSpec(start=NOON - DAY)),
        (
            {"start": "2024-03-09T12:00:00Z", "end": "2024-03-10T12:00:00Z", "exact": True},
            NOON,
            ReportSpec(start=NOON - DAY, exact=True),
        ),
        ({"daily": True, "exact": False}, None, ReportSpec(daily=True)),
        ({"start": None, "duration": None, "daily": None}, None, ReportSpec()),
    ],
)
async def test_the_body_may_choose_the_figures(
    client: TestClient,
    gateway: FakeGateway,
    body: dict[str, Any],
    reference: int | None,
    form: ReportSpec,
) -> None:
    for path in (f"/trigger_report/{STORE}", "/trigger_report"):
        assert (await client.post(path, json=body)).status == HTTPStatus.ACCEPTED

    one, fleet = gateway.requests
    assert one == ReportRequest(one.report_id, STORE, reference, spec=form)
    assert fleet == FleetRequest(fleet.report_id, None, reference, spec=form)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"duration": "7 days"}, "duration"),
        ({"duration": "P1M"}, "not a duration"),
        ({"duration": "PT0S", "end": "2024-03-10T12:00:00Z"}, "is not before the end"),
        ({"start": "2024-03-10T12:00:00Z", "end": "2024-03-10T12:00:00Z"}, "not before the end"),
        ({"start": "2022-03-10T12:00:00Z", "end": "2024-03-10T12:00:00Z"}, "longer than 400 days"),
        ({"start": "2024-03-10T12:00:00Z", "duration": "P1D"}, "only one of them"),
        ({"end": "2024-03-10T12:00:00Z", "reference_time": "2024-03-10T12:00:00Z"}, "say one"),
        ({"daily": "yes"}, "daily is not true or false"),
        ({"exact": 1}, "exact is not true or false"),
    ],
)
async def test_an_impossible_choice_of_figures_is_refused(
    client: TestClient, gateway: FakeGateway, body: dict[str, Any], reason: str
) -> None:
    for path in (f"/trigger_report/{STORE}", "/trigger_report"):
        response = await client.post(path, json=body)
        assert reason in await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert gateway.requests == []


async def test_another_form_under_one_idempotency_key_is_refused(
    client: TestClient, gateway: FakeGateway
) -> None:
    headers = {"Idempotency-Key": "monday"}
    one = await client.post(f"/trigger_report/{STORE}", json={"daily": True}, headers=headers)
    same = await client.post(f"/trigger_report/{STORE}", json={"daily": True}, headers=headers)
    other = await client.post(f"/trigger_report/{STORE}", json={"exact": True}, headers=headers)

    assert await one.json() == await same.json()
    await problem_of(other, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    ("name", "header"), [("america/new_york", "america/new_york"), ("Z\u00fcrich", "Z\\xfcrich")]
)
async def test_an_unknown_timezone_is_named(
    client: TestClient, gateway: FakeGateway, name: str, header: str
) -> None:
    content = {**CONTENT, "unknown_timezone": name}
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=content)
    response = await client.get(f"/get_report/{REPORT}")
    assert response.headers["X-Unknown-Timezone"] == header
    assert response.headers["X-Timezone"] == "America/Chicago"
    response = await client.get(f"/get_report/{REPORT}", headers={"Accept": "application/json"})
    assert (await response.json())["unknown_timezone"] == name
