from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import KafkaError

from stream_app.contracts.business_hours import MAX_HOURS_ROWS
from stream_app.contracts.removal import encode_removal
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_STATUS, STORE_TIMEZONES
from stream_app.errors import BrokerUnavailableError, WorkersBehindError
from tests.unit.api.answers import STORE, UNKNOWN, problem_of

if TYPE_CHECKING:
    from tests.fakes import FakeGateway
    from tests.http_client import TestClient

PATH = f"/stores/{STORE}"
HOURS = f"{PATH}/business_hours"
ZONE = f"{PATH}/timezone"


async def test_a_store_without_facts_has_the_default_timezone(client: TestClient) -> None:
    response = await client.get(PATH)
    assert response.status == HTTPStatus.OK
    assert await response.json() == {
        "store_id": STORE,
        "business_hours": None,
        "timezone_str": None,
        "timezone": "America/Chicago",
    }


async def test_an_unknown_store_is_404(client: TestClient) -> None:
    detail = await problem_of(await client.get(f"/stores/{UNKNOWN}"), HTTPStatus.NOT_FOUND)
    assert detail == f"store {UNKNOWN} is unknown: it has no poll, hours or timezone"


@pytest.mark.parametrize("path", ["/stores/7", "/stores?after=7"])
async def test_a_store_id_that_is_no_uuid_is_422(client: TestClient, path: str) -> None:
    await problem_of(await client.get(path), HTTPStatus.UNPROCESSABLE_ENTITY)


@pytest.mark.parametrize("path", [PATH, f"/stores/{UNKNOWN}", "/stores"])
@pytest.mark.parametrize("error", [BrokerUnavailableError("away"), WorkersBehindError("behind")])
async def test_a_store_that_cannot_be_looked_up_now_is_503(
    client: TestClient, gateway: FakeGateway, path: str, error: Exception
) -> None:
    gateway.error = error
    response = await client.get(path)
    await problem_of(response, HTTPStatus.SERVICE_UNAVAILABLE)
    assert response.headers["Retry-After"] == "5"


@pytest.mark.parametrize("store", [STORE, UNKNOWN])
@pytest.mark.parametrize(
    "rows",
    [
        [[0, "09:00", "17:00"], [6, "22:00:00", "02:00:00.5"]],
        [{"dayOfWeek": 0, "start_time_local": "09:00", "end_time_local": "17:00"}],
        [{"day": 0, "start_time_local": "09:00", "end_time_local": "24:00"}, [1, "8:00", "9:00"]],
    ],
)
async def test_hours_are_replaced_and_read_at_once(
    client: TestClient, gateway: FakeGateway, store: str, rows: list[Any]
) -> None:
    path = f"/stores/{store}"
    first = await client.put(f"{path}/business_hours", json={"hours": [[3, "01:00", "02:00"]]})
    assert first.status == HTTPStatus.ACCEPTED
    response = await client.put(f"{path}/business_hours", json={"hours": rows})
    expected = [row if isinstance(row, list) else list(row.values()) for row in rows]
    assert response.status == HTTPStatus.ACCEPTED
    assert await response.json() == {"store_id": store, "business_hours": expected}
    assert (await (await client.get(path)).json())["business_hours"] == expected
    assert {record.topic for record in gateway.broker.records} == {STORE_BUSINESS_HOURS.name}
    assert gateway.unacknowledged.used == gateway.bodies.budget.used == 0


async def test_a_day_may_be_a_number_with_a_fraction_of_zero(
    client: TestClient, gateway: FakeGateway
) -> None:
    """JSON has one kind of number, and a schema accepts 1.0 as a whole one."""
    rows = [
        [1.0, "09:00", "17:00"],
        {"day": 2.0, "start_time_local": "9:00", "end_time_local": "10:00"},
    ]
    response = await client.put(HOURS, json={"hours": rows})
    assert response.status == HTTPStatus.ACCEPTED
    assert b'[[1,"09:00","17:00"],[2,"9:00","10:00"]]' in (gateway.broker.records[0].value or b"")


async def test_without_business_hours_a_store_is_always_open_again(client: TestClient) -> None:
    await client.put(HOURS, json={"hours": [[0, "09:00", "17:00"]]})
    response = await client.put(HOURS, json={"hours": []})
    assert (await response.json())["business_hours"] is None
    assert (await (await client.get(PATH)).json())["business_hours"] is None


async def test_hours_that_never_open_are_accepted_with_a_warning(client: TestClient) -> None:
    answer = await (await client.put(HOURS, json={"hours": [[0, "09:00", "9:00"]]})).json()
    assert "open nothing" in answer["warning"]


async def test_the_most_rows_fit_into_a_body_in_either_form(client: TestClient) -> None:
    rows = [
        {"dayOfWeek": 0, "start_time_local": "09:00:00.000000", "end_time_local": "17:00:00.000000"}
    ] * MAX_HOURS_ROWS
    assert (await client.put(HOURS, json={"hours": rows})).status == HTTPStatus.ACCEPTED
    response = await client.put(HOURS, json={"hours": [*rows, rows[0]]})
    await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        (HOURS, {}, "hours is missing"),
        (HOURS, [], "not a JSON object but list"),
        (HOURS, {"hours": {}}, "hours is not a list but dict"),
        (HOURS, {"hours": [], "x": 1}, "unknown fields: 'x'; known are hours"),
        (HOURS, {"hours": [[0, "09:00", "10:00"], [7, "09:00", "10:00"]]}, "row 1: day 7 is not"),
        (HOURS, {"hours": [[0, "9", "10:00"]]}, "row 0: hours of day 0: not a time of day"),
        (HOURS, {"hours": [[0, "24:00", "10:00"]]}, "row 0: hours of day 0: 24:00 ends a day"),
        (HOURS, {"hours": [["0", "09:00", "10:00"]]}, "row 0: neither [day, start, end]"),
        (HOURS, {"hours": [[True, "09:00", "10:00"]]}, "row 0: neither [day, start, end]"),
        (HOURS, {"hours": [[1.5, "09:00", "10:00"]]}, "row 0: neither [day, start, end]"),
        (HOURS, {"hours": [[1e300, "09:00", "10:00"]]}, "row 0: neither [day, start, end]"),
        (HOURS, {"hours": [{"day": 0, "start_time_local": "09:00"}]}, "row 0: neither"),
        (
            HOURS,
            {
                "hours": [
                    {"day": 0, "dayOfWeek": 1, "start_time_local": "1:00", "end_time_local": "2:00"}
                ]
            },
            "row 0: neither",
        ),
        (ZONE, {}, "one of timezone_str and timezone is needed"),
        (ZONE, {"timezone": "UTC", "timezone_str": "UTC"}, "one of timezone_str and timezone"),
        (ZONE, {"timezone": 7}, "timezone is not a text but int"),
        (ZONE, {"timezone_str": "x" * 101}, "timezone_str is 101 characters long"),
        (ZONE, {"zone": "UTC"}, "unknown fields: 'zone'"),
    ],
)
async def test_a_rejected_body_changes_nothing_and_becomes_a_dead_letter(
    client: TestClient, gateway: FakeGateway, path: str, body: Any, reason: str
) -> None:
    before = await (await client.get(PATH)).json()
    data = json.dumps(body).encode()
    response = await client.put(path, data=data)
    detail = await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert detail.startswith(reason)
    (dead_letter,) = gateway.broker.dead_letters()
    assert (dead_letter.original, dead_letter.reason, dead_letter.source["path"]) == (
        data,
        detail,
        path,
    )
    assert await (await client.get(PATH)).json() == before
    assert len(gateway.broker.records) == 1


@pytest.mark.parametrize("path", [HOURS, ZONE])
async def test_a_body_that_is_no_json_is_400_and_becomes_a_dead_letter(
    client: TestClient, gateway: FakeGateway, path: str
) -> None:
    await problem_of(await client.put(path, data=b"UTC"), HTTPStatus.BAD_REQUEST)
    assert gateway.broker.dead_letters()[0].original == b"UTC"


@pytest.mark.parametrize("field", ["timezone_str", "timezone"])
async def test_a_timezone_is_replaced_and_read_at_once(
    client: TestClient, gateway: FakeGateway, field: str
) -> None:
    response = await client.put(ZONE, json={field: " Europe/London "})
    expected = {
        "store_id": STORE,
        "timezone_str": "Europe/London",
        "timezone": "Europe/London",
    }
    assert response.status == HTTPStatus.ACCEPTED
    assert await response.json() == expected
    assert await (await client.get(PATH)).json() == {**expected, "business_hours": None}
    assert [record.topic for record in gateway.broker.records] == [STORE_TIMEZONES.name]


async def test_an_unknown_timezone_is_accepted_with_a_warning(client: TestClient) -> None:
    answer = await (await client.put(ZONE, json={"timezone_str": "Mars/Base"})).json()
    assert answer == {
        "store_id": STORE,
        "timezone_str": "Mars/Base",
        "timezone": "America/Chicago",
        "warning": "'Mars/Base' is not an IANA timezone: America/Chicago applies",
    }
    known = await (await client.get(PATH)).json()
    assert known["timezone"] == "America/Chicago"
    assert known["warning"] == "'Mars/Base' is not an IANA timezone: America/Chicago applies"


@pytest.mark.parametrize("name", ["a\r\nX-Evil: 1", "a\x00", "a\x85b"])
async def test_a_timezone_with_control_characters_is_refused(client: TestClient, name: str) -> None:
    detail = await problem_of(
        await client.put(ZONE, json={"timezone": name}), HTTPStatus.UNPROCESSABLE_ENTITY
    )
    assert detail.startswith("timezone has control characters: ")


@pytest.mark.parametrize("path", [HOURS, ZONE])
async def test_a_record_that_fails_is_503(
    client: TestClient, gateway: FakeGateway, path: str
) -> None:
    gateway.broker.error = BrokerUnavailableError("away")
    body: dict[str, Any] = {"hours": []} if path == HOURS else {"timezone": "UTC"}
    await problem_of(await client.put(path, json=body), HTTPStatus.SERVICE_UNAVAILABLE)
    assert gateway.unacknowledged.used == 0


class TestPages:
    IDS = tuple(f"{n:02x}000000-0000-4000-8000-000000000000" for n in range(0, 250, 10))

    @pytest.fixture(autouse=True)
    def stores(self, gateway: FakeGateway) -> None:
        for store_id in reversed(self.IDS):
            gateway.add_store(store_id)

    async def test_all_stores_are_listed_in_order(self, client: TestClient) -> None:
        answer = await (await client.get("/stores")).json()
        assert answer == {"store_ids": sorted([*self.IDS, STORE]), "next": None}

    @pytest.mark.parametrize("query", ["limit=7", "limit=1", "limit=26", "limit=25"])
    async def test_the_link_to_the_next_page_leads_through_all_stores(
        self, client: TestClient, query: str
    ) -> None:
        seen: list[str] = []
        link: str | None = f"/stores?{query}"
        while link:
            answer = await (await client.get(link)).json()
            seen += answer["store_ids"]
            link = answer["next"]
        assert seen == sorted([*self.IDS, STORE])

    @pytest.mark.parametrize("prefix", ["0", "0A", "0a000000-0000", STORE.upper()])
    async def test_a_prefix_chooses_the_stores(self, client: TestClient, prefix: str) -> None:
        answer = await (await client.get("/stores", params={"prefix": prefix, "limit": 1})).json()
        store_ids = list(answer["store_ids"])
        while answer["next"]:
            answer = await (await client.get(answer["next"])).json()
            store_ids += answer["store_ids"]
        ids = sorted([*self.IDS, STORE])
        assert store_ids == [i for i in ids if i.startswith(prefix.lower())]

    @pytest.mark.parametrize("digits", range(1, 33))
    async def test_a_prefix_may_be_without_dashes(self, client: TestClient, digits: int) -> None:
        prefix = STORE.replace("-", "").upper()[:digits]
        answer = await (await client.get("/stores", params={"prefix": prefix})).json()
        assert STORE in answer["store_ids"]
        with_dashes = STORE[: digits + sum(digits > dash for dash in (8, 12, 16, 20))]
        assert answer == await (await client.get(f"/stores?prefix={with_dashes}")).json()

    @pytest.mark.parametrize(
        "query",
        [
            "limit=0",
            "limit=1001",
            "limit=x",
            "limit=",
            "limit=-1",
            "prefix=g",
            "prefix=%25",
            "prefix=-",
            "prefix=1-",
            "prefix=0f5c1a3e--9",
            "x=1",
        ],
    )
    async def test_a_wrong_parameter_is_422(self, client: TestClient, query: str) -> None:
        response = await client.get(f"/stores?{query}")
        await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)


async def test_a_store_is_removed_with_all_its_facts(
    client: TestClient, gateway: FakeGateway
) -> None:
    await client.put(HOURS, json={"hours": [[0, "09:00", "17:00"]]})
    await client.put(f"{PATH}/timezone", json={"timezone_str": "Europe/Paris"})
    gateway.broker.records.clear()

    response = await client.delete(PATH)
    assert response.status == HTTPStatus.ACCEPTED
    assert await response.json() == {"store_id": STORE, "removed": True}
    assert [(r.topic, r.key, r.value) for r in gateway.broker.records] == [
        (STORE_BUSINESS_HOURS.name, STORE.encode(), None),
        (STORE_TIMEZONES.name, STORE.encode(), None),
        (STORE_STATUS.name, STORE.encode(), encode_removal(STORE)),
    ]
    assert gateway.unacknowledged.used == 0
    for gone in (
        await client.get(PATH),
        await client.delete(PATH),
        await client.post(f"/trigger_report/{STORE}"),
        await client.get(f"{PATH}/summary"),
        await client.get(f"/badges/{STORE}.svg"),
    ):
        assert gone.status == HTTPStatus.NOT_FOUND

    await client.put(f"{PATH}/timezone", json={"timezone_str": "Asia/Tokyo"})
    new = await (await client.get(PATH)).json()
    assert (new["business_hours"], new["timezone"]) == (None, "Asia/Tokyo")


async def test_a_removal_that_the_broker_does_not_acknowledge_is_an_error(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.broker.error = KafkaError("no")
    response = await client.delete(PATH)
    assert response.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert (await client.get(PATH)).status == HTTPStatus.OK


@pytest.mark.parametrize("form", [str.upper, lambda text: text.replace("-", "")], ids=["A", "-"])
async def test_a_store_is_removed_by_any_form_of_its_id(
    client: TestClient, gateway: FakeGateway, form: Any
) -> None:
    response = await client.delete(f"/stores/{form(STORE)}")
    assert await response.json() == {"store_id": STORE, "removed": True}
    assert {record.key for record in gateway.broker.records} == {STORE.encode()}


async def test_a_parameter_that_is_unknown_removes_nothing(
    client: TestClient, gateway: FakeGateway
) -> None:
    response = await client.delete(f"{PATH}?dry_run=1")
    assert response.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert gateway.broker.records == []
