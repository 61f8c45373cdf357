"""`POST /trigger_report` requests a report of many stores, and `GET /get_report` returns it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from api.reports import representations
from api.reports import rows as rows_module
from api.reports.rows import csv_chunks, json_chunks, rows_in_order
from api.reports.schemas import MAX_STORES_BYTES
from api.reports.service import MAX_OPEN_REPORTS
from stream_app.contracts.report_requests import FLEET, MAX_STORES_NAMED, FleetRequest
from stream_app.domain.report import CSV_HEADER
from tests.fakes import FakeGateway, report_state
from tests.unit.api.answers import REPORT, STORE, UNKNOWN, problem_of

if TYPE_CHECKING:
    from tests.http_client import TestClient

FIELDS = (*CSV_HEADER, "timezone", "polls_counted")
NOON = 1_710_072_000_000_000  # 2024-03-10T12:00:00Z
CONTENT = {"reference_time": "2024-03-10T12:00:00Z", "lookback": "1h", "default_status": "inactive"}


def store(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def row(number: int) -> list[Any]:
    return [store(number), 60, 23.98, 160.0, 0, 0.02, 8.0, "America/Chicago", 17]


def chunks_of_parts(*parts: list[list[int]]) -> list[list[bytes]]:
    """Return the chunks of each part, with the rows of these numbers."""
    return [[orjson.dumps([row(n) for n in chunk]) for chunk in part] for part in parts]


# -- requesting


async def test_a_report_of_all_stores_is_one_request(
    client: TestClient, gateway: FakeGateway
) -> None:
    response = await client.post("/trigger_report")

    assert response.status == HTTPStatus.ACCEPTED
    report_id = (await response.json())["report_id"]
    assert response.headers["Location"] == f"/get_report/{report_id}"
    assert response.headers["Retry-After"] == "1"
    assert gateway.requests == [FleetRequest(report_id)]
    followed = await client.get(response.headers["Location"])
    assert await followed.json() == {"status": "running"}


async def test_the_body_may_name_the_stores_and_the_time(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.add_store(UNKNOWN)
    body = {"store_ids": [UNKNOWN, STORE.upper(), STORE], "reference_time": "2024-03-10T12:00:00Z"}

    response = await client.post("/trigger_report", json=body)

    assert response.status == HTTPStatus.ACCEPTED
    (request,) = gateway.requests
    assert request.store_ids == tuple(sorted((STORE, UNKNOWN)))
    assert request.reference_time == NOON


async def test_stores_that_are_unknown_are_named(client: TestClient, gateway: FakeGateway) -> None:
    body = {"store_ids": [STORE, *(store(number) for number in range(9))]}

    detail = await problem_of(await client.post("/trigger_report", json=body), HTTPStatus.NOT_FOUND)

    assert detail.startswith("9 of the stores are unknown")
    assert store(0) in detail
    assert detail.endswith("...")
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"store_ids": []}, "store_ids names 0 stores"),
        ({"store_ids": "all"}, "store_ids is not a list but str"),
        ({"store_ids": [STORE, 7]}, "store_id is not a UUID: 7"),
        ({"store_ids": [STORE] * (MAX_STORES_NAMED + 1)}, "not 1 to 10,000"),
        ({"stores": [STORE]}, "unknown fields: 'stores'; known are reference_time, "),
        ({"reference_time": "noon"}, "reference_time: not a time"),
        ([STORE], "the body is not a JSON object"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_body_that_cannot_be_used_is_422(
    client: TestClient, gateway: FakeGateway, body: Any, reason: str
) -> None:
    response = await client.post("/trigger_report", json=body)

    assert reason in await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert gateway.requests == []


async def test_the_most_stores_that_may_be_named_fit_into_the_body(client: TestClient) -> None:
    body = json.dumps({"store_ids": [STORE] * MAX_STORES_NAMED})
    assert (await client.post("/trigger_report", data=body)).status == HTTPStatus.ACCEPTED

    too_large = await client.post("/trigger_report", data=b" " * (MAX_STORES_BYTES + 1))
    await problem_of(too_large, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


async def test_too_many_open_reports_are_503(client: TestClient, gateway: FakeGateway) -> None:
    gateway.open = MAX_OPEN_REPORTS

    await problem_of(await client.post("/trigger_report"), HTTPStatus.SERVICE_UNAVAILABLE)


async def test_an_idempotency_key_is_for_one_set_of_stores(
    client: TestClient, gateway: FakeGateway
) -> None:
    headers = {"Idempotency-Key": "fleet"}
    first = await client.post("/trigger_report", headers=headers)
    again = await client.post("/trigger_report", headers=headers)
    other = await client.post("/trigger_report", json={"store_ids": [STORE]}, headers=headers)
    one = await client.post(f"/trigger_report/{STORE}", headers=headers)

    assert await first.json() == await again.json()
    assert len(gateway.requests) == 1
    for response in (other, one):
        detail = await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
        assert "used for another request" in detail


# -- fetching


async def test_an_unfinished_report_says_how_many_parts_are_done(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "running", subject=FLEET, parts=(3, 8))

    response = await client.get(f"/get_report/{REPORT}")

    assert response.status == HTTPStatus.ACCEPTED
    assert await response.json() == {"status": "running", "parts_done": 3, "parts": 8}


@pytest.fixture
def complete(gateway: FakeGateway) -> None:
    gateway.reports[REPORT] = report_state(
        REPORT, "complete", subject=FLEET, content=CONTENT, parts=(3, 3)
    )
    gateway.rows[REPORT] = chunks_of_parts([[1, 4], [9]], [[]], [[0, 2], [3, 11]])


@pytest.mark.usefixtures("complete")
async def test_rows_are_one_csv_in_the_order_of_stores(
    client: TestClient, gateway: FakeGateway
) -> None:
    response = await client.get(f"/get_report/{REPORT}")

    assert response.status == HTTPStatus.OK
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["X-Report-Status"] == "Complete"
    assert response.headers["Vary"] == "Accept"
    header, *rows = csv.reader(io.StringIO(await response.text()))
    assert tuple(header) == CSV_HEADER
    assert [r[0] for r in rows] == [store(n) for n in (0, 1, 2, 3, 4, 9, 11)]
    assert rows[0][1:] == ["60", "23.98", "160.0", "0", "0.02", "8.0"]
    assert gateway.bodies.budget.used == 0


@pytest.mark.usefixtures("complete")
async def test_a_report_of_many_stores_is_json_on_request(client: TestClient) -> None:
    response = await client.get(f"/get_report/{REPORT}", headers={"Accept": "application/json"})

    content = await response.json()
    reports = content.pop("reports")
    assert content == {"report_id": REPORT, "status": "complete", **CONTENT}
    assert [report["store_id"] for report in reports] == [store(n) for n in (0, 1, 2, 3, 4, 9, 11)]
    assert reports[0]["uptime_last_day"] == 23.98
    assert reports[0]["timezone"] == "America/Chicago"
    assert reports[0]["polls_counted"] == 17


async def test_a_report_whose_rows_are_gone_is_500(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "complete", subject=FLEET, parts=(8, 8))

    detail = await problem_of(
        await client.get(f"/get_report/{REPORT}"), HTTPStatus.INTERNAL_SERVER_ERROR
    )

    assert "its content is gone" in detail


@pytest.mark.usefixtures("complete")
async def test_an_answer_that_needs_too_much_memory_is_429(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.bodies.budget._limit = 10

    await problem_of(await client.get(f"/get_report/{REPORT}"), HTTPStatus.TOO_MANY_REQUESTS)


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1234])
def test_the_chunks_of_an_answer_have_all_its_rows(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(number) for number in range(count)]
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", 500)

    text = b"".join(csv_chunks(CSV_HEADER, rows)).decode()
    content = json.loads(b"".join(json_chunks({"status": "complete"}, FIELDS, rows)))

    assert text.count("\n") == count + 1
    assert len(content["reports"]) == count
    assert content["status"] == "complete"


def test_one_chunk_of_each_part_is_unpacked_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked: list[bytes] = []

    def loads(chunk: bytes) -> Any:
        unpacked.append(chunk)
        return json.loads(chunk)

    monkeypatch.setattr(orjson, "loads", loads)
    rows = rows_in_order(chunks_of_parts([[0], [2], [4]], [[1], [3], [5]]))

    assert [next(rows)[0] for _ in range(2)] == [store(0), store(1)]
    assert 2 <= len(unpacked) <= 4
    assert [r[0] for r in rows] == [store(n) for n in (2, 3, 4, 5)]


async def test_a_large_answer_lets_others_run_between_its_chunks(
    client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No write to a quick reader waits, so no write lets others run."""
    turns: list[int] = []
    ended = asyncio.Event()

    async def count_turns() -> None:
        while not ended.is_set():
            turns[-1:] = [turns[-1] + 1] if turns else []
            await asyncio.sleep(0)

    def chunks(*_: object) -> Any:
        for _chunk in range(50):
            turns.append(0)
            yield b"x"

    monkeypatch.setattr(representations, "csv_chunks", chunks)
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=CONTENT, parts=(1, 1))
    gateway.rows[REPORT] = chunks_of_parts([[1]])
    running = asyncio.create_task(count_turns())
    response = await client.get(f"/get_report/{REPORT}")
    assert await response.text() == "x" * 50
    ended.set()
    await running
    assert all(turns)
