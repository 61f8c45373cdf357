from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from stream_app.errors import BrokerUnavailableError
from tests.fakes import report_state
from tests.unit.api.answers import CONTENT, CSV, REPORT, STORE, UNKNOWN, problem_of

if TYPE_CHECKING:
    from tests.fakes import FakeGateway
    from tests.http_client import TestClient

PATH = f"/get_report/{REPORT}"
JSON = {"report_id": REPORT, "status": "complete", **CONTENT}


@pytest.fixture
def complete(gateway: FakeGateway) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "complete", subject=STORE, content=CONTENT)


@pytest.mark.parametrize("status", ["pending", "running"])
async def test_an_unfinished_report_is_202(
    client: TestClient, gateway: FakeGateway, status: str
) -> None:
    gateway.reports[REPORT] = report_state(REPORT, status, subject=STORE)
    response = await client.get(PATH)
    assert response.status == HTTPStatus.ACCEPTED
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Retry-After"] == "1"
    assert await response.json() == {"status": "running"}


async def test_a_failed_report_is_410_with_its_reason(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "failed", reason="no poll yet")
    response = await client.get(PATH)
    assert response.status == HTTPStatus.GONE
    assert response.headers["Content-Type"] == "application/json"
    assert await response.json() == {"status": "failed", "reason": "no poll yet"}


@pytest.mark.usefixtures("complete")
async def test_a_complete_report_is_csv(client: TestClient) -> None:
    response = await client.get(PATH)
    assert response.status == HTTPStatus.OK
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["X-Report-Status"] == "Complete"
    assert response.headers["Vary"] == "Accept"
    assert response.headers["Content-Disposition"] == f'inline; filename="report-{REPORT}.csv"'
    assert await response.text() == CSV


@pytest.mark.usefixtures("complete")
async def test_a_complete_report_is_json_on_request(client: TestClient) -> None:
    response = await client.get(PATH, headers={"Accept": "application/json"})
    assert response.status == HTTPStatus.OK
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Report-Status"] == "Complete"
    assert response.headers["Vary"] == "Accept"
    assert await response.json() == JSON


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "text/csv"),
        ("*/*", "text/csv"),
        ("text/csv", "text/csv"),
        ("text/*", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        ("application/*", "application/json"),
        # equal weights: CSV, unless only JSON is named
        ("text/csv, application/json", "text/csv"),
        ("application/json, text/csv", "text/csv"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/csv, */*", "text/csv"),
        ("text/*, application/json", "application/json"),
        # weights decide
        ("text/csv;q=0.5, application/json", "application/json"),
        ("text/csv;q=0.5, application/json;q=0.4", "text/csv"),
        ("application/json;q=0.9, */*;q=0.8", "application/json"),
        ("application/json;q=0.1, */*", "text/csv"),
        ("text/csv; q=0.1, */*; q=0.2", "application/json"),
        ("application/json;q=0", "text/csv"),
        ("application/json;q=0, */*", "text/csv"),
        ("text/csv;q=0, */*", "application/json"),
        # browsers
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/csv"),
        # no form that there is: better CSV than an error
        ("image/png", "text/csv"),
        ("application/problem+json", "text/csv"),
        # nonsense
        ("application/json;q=high", "text/csv"),
        ("application/json;q=nan", "text/csv"),
        (",;,/;q", "text/csv"),
    ],
)
async def test_the_accept_header_chooses_the_form(
    client: TestClient, accept: str, form: str
) -> None:
    response = await client.get(PATH, headers={"Accept": accept})
    assert response.status == HTTPStatus.OK
    assert response.content_type == form


@pytest.mark.usefixtures("complete")
async def test_accept_may_be_sent_in_several_lines(client: TestClient) -> None:
    headers = [("Accept", "text/csv;q=0.5"), ("Accept", "application/json")]
    assert (await client.get(PATH, headers=headers)).content_type == "application/json"


@pytest.mark.parametrize("accept", ["text/csv", "application/json"])
async def test_a_complete_report_without_content_is_500(
    client: TestClient, gateway: FakeGateway, accept: str
) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "complete", subject=STORE)
    response = await client.get(PATH, headers={"Accept": accept})
    detail = await problem_of(response, HTTPStatus.INTERNAL_SERVER_ERROR)
    assert detail == f"report {REPORT} is complete but its content is gone; trigger a new one"
    assert "X-Report-Status" not in response.headers


async def test_an_unknown_report_is_404(client: TestClient) -> None:
    detail = await problem_of(await client.get(f"/get_report/{UNKNOWN}"), HTTPStatus.NOT_FOUND)
    assert detail == f"report {UNKNOWN} is unknown or expired"


@pytest.mark.parametrize("report_id", ["1", REPORT + "0", "report.csv"])
async def test_a_report_id_that_is_no_uuid_is_422(client: TestClient, report_id: str) -> None:
    response = await client.get(f"/get_report/{report_id}")
    detail = await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert detail.startswith("report_id is not a UUID: ")


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize("form", [REPORT.upper(), REPORT.replace("-", "")])
async def test_a_report_is_found_by_any_form_of_its_id(client: TestClient, form: str) -> None:
    assert (await client.get(f"/get_report/{form}")).status == HTTPStatus.OK


async def test_a_broker_out_of_reach_is_503(client: TestClient, gateway: FakeGateway) -> None:
    gateway.error = BrokerUnavailableError("no Kafka broker answers")
    response = await client.get(PATH)
    await problem_of(response, HTTPStatus.SERVICE_UNAVAILABLE)
    assert response.headers["Retry-After"] == "5"


@pytest.mark.usefixtures("complete")
async def test_fetching_again_gives_the_same_bytes(client: TestClient) -> None:
    answers: list[Any] = [await (await client.get(PATH)).read() for _ in range(3)]
    assert len(set(answers)) == 1
