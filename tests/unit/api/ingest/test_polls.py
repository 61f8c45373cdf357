"""Polls by HTTP are answered when the broker has acknowledged them."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestServer

from api.app import create_app
from api.http import json_items, request_body
from api.ingest import batch as poll_batch
from api.ingest import rejected_items, status_body
from api.ingest import service as ingestion
from api.ingest.schemas import MAX_POLL_BYTES
from api.ingest.service import NO_DEAD_LETTER, POLL_BYTES
from api.kafka import publisher
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import DEAD_LETTERS, STORE_STATUS
from stream_app.domain.timestamps import HOUR, format_instant
from stream_app.errors import BrokerUnavailableError
from tests.fakes import SETTINGS, FakeGateway, now
from tests.http_client import TestClient
from tests.unit.api.answers import STORE, UNKNOWN, problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ONE = f"/stores/{STORE}/status"
NOON = "2024-03-10T12:00:00Z"
NOON_US = 1_710_072_000_000_000
GOOD = {"store_id": STORE, "status": "active", "timestamp_utc": NOON}
OTHER = {**GOOD, "store_id": UNKNOWN}


def ndjson(*items: Any) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def tomorrow() -> str:
    return format_instant(now() + 24 * HOUR)


async def until_waiting(gateway: FakeGateway, count: int) -> None:
    while gateway.broker.waiting < count:  # noqa: ASYNC110  other tasks send
        await asyncio.sleep(0.001)


async def problem_with_counts(response: Any, status: HTTPStatus) -> dict[str, Any]:
    """Return the body of a problem that says how many items were accepted and refused."""
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = await response.json(content_type=None)
    return body


@pytest.mark.parametrize(
    ("size", "reading", "parsed"), [(100, 1 << 20, 1), (1_000, 4 << 20, 2), (100, 250_000, 2)]
)
async def test_a_small_array_is_parsed_once_where_there_is_memory_for_it(
    monkeypatch: pytest.MonkeyPatch, size: int, reading: int, parsed: int
) -> None:
    bodies: list[bytes] = []
    array_slices = json_items.array_slices

    def counted_slices(body: bytes) -> Any:
        bodies.append(body)
        return array_slices(body)

    monkeypatch.setattr(status_body, "array_slices", counted_slices)
    gateway = FakeGateway(STORE, reading=reading)
    async with TestClient(TestServer(create_app(gateway))) as client:
        answer = await client.post("/status", json=[GOOD] * size)
        assert await answer.json() == {"accepted": size, "refused": 0, "items": []}
    assert len(bodies) == parsed
    assert gateway.bodies.budget.used == 0


class TestOne:
    async def test_an_accepted_poll_is_202_and_a_record(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        response = await client.post(ONE, json={"status": " Active", "timestamp_utc": NOON})
        assert response.status == HTTPStatus.ACCEPTED
        assert await response.json() == {
            "store_id": STORE,
            "status": "active",
            "timestamp_utc": NOON,
        }
        assert gateway.broker.polls() == [(STORE, [[NOON_US, 1]])]
        (record,) = gateway.broker.records
        assert record.key == STORE.encode()
        assert record.partition == partition_of(record.key, SETTINGS.partitions)
        assert gateway.unacknowledged.used == 0

    @pytest.mark.parametrize(
        "body", [{"status": "inactive"}, {"status": "inactive", "timestamp_utc": None}]
    )
    async def test_a_poll_without_a_time_is_dated_now(
        self, client: TestClient, gateway: FakeGateway, body: Any
    ) -> None:
        before = now()
        assert (await client.post(ONE, json=body)).status == HTTPStatus.ACCEPTED
        ((_, [[instant, active]]),) = gateway.broker.polls()
        assert before <= instant <= now()
        assert active == 0

    async def test_there_is_no_202_before_the_broker_acknowledges(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        gateway.broker.pause()
        request = asyncio.create_task(client.post(ONE, json={"status": "active"}))
        await until_waiting(gateway, 1)
        await asyncio.sleep(0.02)
        assert not request.done()
        gateway.broker.resume()
        assert (await request).status == HTTPStatus.ACCEPTED

    @pytest.mark.parametrize(
        ("body", "status", "reason"),
        [
            (b"status=active", HTTPStatus.BAD_REQUEST, "the body is not JSON"),
            (b"\xff\xfe", HTTPStatus.BAD_REQUEST, "the body is not JSON"),
            (b"[]", HTTPStatus.UNPROCESSABLE_ENTITY, "not a JSON object but list"),
            (b"{}", HTTPStatus.UNPROCESSABLE_ENTITY, "status is missing"),
            (b'{"status": "up"}', HTTPStatus.UNPROCESSABLE_ENTITY, "neither active nor inactive"),
            ('{"status": "active"}'.encode("utf-16"), HTTPStatus.BAD_REQUEST, "UTF-16; send UTF-8"),
            (b'{"status": "active"}{}', HTTPStatus.BAD_REQUEST, "not JSON"),
            (b'{"status": 1}', HTTPStatus.UNPROCESSABLE_ENTITY, "neither active nor inactive"),
            (
                b'{"status": "active", "timestamp_utc": 5}',
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "the time is not a text",
            ),
            (
                b'{"status": "active", "timestmp": "x"}',
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "unknown fields: 'timestmp'",
            ),
        ],
    )
    async def test_a_rejected_poll_becomes_a_dead_letter(
        self,
        client: TestClient,
        gateway: FakeGateway,
        body: bytes,
        status: HTTPStatus,
        reason: str,
    ) -> None:
        detail = await problem_of(await client.post(ONE, data=body), status)
        assert reason in detail
        (dead_letter,) = gateway.broker.dead_letters()
        assert (dead_letter.original, dead_letter.reason, dead_letter.source["path"]) == (
            body,
            detail,
            ONE,
        )
        assert set(dead_letter.source) == {"http", "path"}
        assert gateway.broker.polls() == []

    async def test_a_poll_with_a_wrong_store_id_becomes_a_dead_letter_with_its_path(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        response = await client.post("/stores/7/status", data=b'{"status": "active"}')
        detail = await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
        assert detail == "store_id is not a UUID: '7'"
        assert gateway.broker.dead_letters()[0].source["path"] == "/stores/7/status"

    async def test_there_is_no_answer_before_the_dead_letter_is_acknowledged(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        gateway.broker.pause()
        request = asyncio.create_task(client.post(ONE, data=b"{}"))
        await until_waiting(gateway, 1)
        await asyncio.sleep(0.02)
        assert not request.done()
        gateway.broker.resume()
        assert (await request).status == HTTPStatus.UNPROCESSABLE_ENTITY

    @pytest.mark.parametrize("body", [b"", b" \n"])
    async def test_an_empty_body_says_what_to_send(
        self, client: TestClient, gateway: FakeGateway, body: bytes
    ) -> None:
        detail = await problem_of(
            await client.post(ONE, data=body), HTTPStatus.UNPROCESSABLE_ENTITY
        )
        assert "the body is empty" in detail
        assert '"status": "active"' in detail
        assert gateway.broker.records == []

    async def test_a_poll_ahead_of_our_clock_is_rejected(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        body = {"status": "active", "timestamp_utc": tomorrow()}
        detail = await problem_of(
            await client.post(ONE, json=body), HTTPStatus.UNPROCESSABLE_ENTITY
        )
        assert "lies ahead of the clock" in detail
        assert gateway.broker.polls() == []
        assert len(gateway.broker.dead_letters()) == 1

    async def test_a_poll_ahead_of_the_brokers_clock_is_refused_as_the_worker_rejects_it(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        gateway.broker.ahead = -HOUR
        detail = await problem_of(
            await client.post(ONE, json={"status": "active"}), HTTPStatus.UNPROCESSABLE_ENTITY
        )
        assert "lies ahead of the clock" in detail
        assert len(gateway.broker.polls()) == 1
        assert gateway.broker.dead_letters() == [], "the worker writes the dead letter"

    async def test_a_body_that_is_too_large_is_kept_up_to_the_limit(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        body = b'{"status": "active"}' + b" " * MAX_POLL_BYTES
        detail = await problem_of(
            await client.post(ONE, data=body), HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        )
        assert detail == "the body is larger than 65,536 bytes"
        (dead_letter,) = gateway.broker.dead_letters()
        assert (dead_letter.original, dead_letter.truncated) == (body[:MAX_POLL_BYTES], True)

    async def test_without_a_connection_the_answer_is_503(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        gateway.error = BrokerUnavailableError("still connecting")
        for body in (b'{"status": "active"}', b"nonsense"):
            response = await client.post(ONE, data=body)
            await problem_of(response, HTTPStatus.SERVICE_UNAVAILABLE)
            assert response.headers["Retry-After"] == "5"
        assert gateway.broker.records == []

    async def test_a_record_that_fails_is_503_for_all_requests_that_share_it(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        gateway.broker.error = BrokerUnavailableError("away")
        answers = await asyncio.gather(
            *(client.post(ONE, json={"status": "active"}) for _ in range(5))
        )
        for answer in answers:
            await problem_of(answer, HTTPStatus.SERVICE_UNAVAILABLE)
        assert gateway.unacknowledged.used == 0
        gateway.broker.error = None
        assert (await client.post(ONE, json={"status": "active"})).status == HTTPStatus.ACCEPTED


class TestOverload:
    @pytest.fixture
    def gateway(self) -> FakeGateway:
        return FakeGateway(STORE, unacknowledged=2 * POLL_BYTES, reading=1 << 20)

    async def test_a_full_budget_is_429_at_once_until_there_is_room_again(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        gateway.broker.pause()
        accepted = [asyncio.create_task(client.post(ONE, json={"status": "active"})) for _ in "ab"]
        await until_waiting(gateway, 1)
        while gateway.unacknowledged.used < 2 * POLL_BYTES:  # noqa: ASYNC110  other tasks
            await asyncio.sleep(0.001)
        response = await client.post(ONE, json={"status": "active"})
        await problem_of(response, HTTPStatus.TOO_MANY_REQUESTS)
        assert response.headers["Retry-After"] == "1"
        gateway.broker.resume()
        assert {(await answer).status for answer in accepted} == {HTTPStatus.ACCEPTED}
        assert (await client.post(ONE, json={"status": "active"})).status == HTTPStatus.ACCEPTED
        assert gateway.unacknowledged.used == 0

    async def test_a_batch_without_room_is_429_with_its_counts(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publisher, "ANSWER_SECONDS", 0.01)
        response = await client.post("/status", json=[GOOD] * 3)
        body = await problem_with_counts(response, HTTPStatus.TOO_MANY_REQUESTS)
        assert (body["accepted"], body["refused"]) == (0, 0)
        assert response.headers["Retry-After"] == "1"

    async def test_too_many_bodies_at_once_are_429(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        assert gateway.bodies.budget.try_acquire((1 << 20) - 10)
        response = await client.post(ONE, json={"status": "active"})
        await problem_of(response, HTTPStatus.TOO_MANY_REQUESTS)
        response = await client.post("/status", data=ndjson(GOOD))
        await problem_of(response, HTTPStatus.TOO_MANY_REQUESTS)
        gateway.bodies.budget.release((1 << 20) - 10)
        assert (await client.post("/status", data=ndjson(GOOD))).status == HTTPStatus.ACCEPTED
        assert gateway.bodies.budget.used == 0


class TestSilentBroker:
    async def test_a_silent_broker_is_503_at_once_until_it_acknowledges_again(
        self, client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publisher, "ANSWER_SECONDS", 0.02)
        gateway.broker.pause()
        await problem_of(
            await client.post(ONE, json={"status": "active"}), HTTPStatus.SERVICE_UNAVAILABLE
        )
        await asyncio.sleep(0.02)
        used = gateway.unacknowledged.used
        assert used > 0, "its record is still in flight"
        for _ in range(5):
            await problem_of(
                await client.post(ONE, json={"status": "active"}), HTTPStatus.SERVICE_UNAVAILABLE
            )
        assert gateway.unacknowledged.used == used, "no further record is accepted"
        assert gateway.broker.waiting == 1
        gateway.broker.resume()
        while gateway.unacknowledged.used:  # noqa: ASYNC110  other tasks
            await asyncio.sleep(0.001)
        assert (await client.post(ONE, json={"status": "active"})).status == HTTPStatus.ACCEPTED
        assert len(gateway.broker.polls()) == 2

    async def test_a_silent_partition_stops_no_other(
        self, client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publisher, "ANSWER_SECONDS", 0.02)
        one, other = (partition_of(s.encode(), SETTINGS.partitions) for s in (STORE, UNKNOWN))
        assert one != other
        partition = gateway.ingestion._publisher._partitions[STORE_STATUS.name, one]
        unacknowledged: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        partition.in_flight[unacknowledged] = publisher._Batch(-100.0)
        path = f"/stores/{UNKNOWN}/status"
        assert (await client.post(path, json={"status": "active"})).status == HTTPStatus.ACCEPTED
        await problem_of(
            await client.post(ONE, json={"status": "active"}), HTTPStatus.SERVICE_UNAVAILABLE
        )


class TestForms:
    """Bodies are accepted in the forms that people and programs send who do not know NDJSON."""

    TWO = (GOOD, OTHER)
    PRETTY = tuple(json.dumps(item, indent=2).encode() for item in TWO)
    FLAT = tuple(json.dumps(item).encode() for item in TWO)

    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "marked"])
    @pytest.mark.parametrize("lines", [True, False], ids=["ndjson", "form"])
    @pytest.mark.parametrize(
        ("body", "stores"),
        [
            (PRETTY[0], 1),
            (PRETTY[0].replace(b"\n", b"\r\n") + b"\r\n", 1),
            (b"\n".join(PRETTY), 2),
            (b"\n\n".join(PRETTY) + b"\n", 2),
            (b"".join(PRETTY), 2),
            (b"".join(FLAT), 2),
            (b" ".join(FLAT), 2),
            (FLAT[0] + b"\n" + PRETTY[1], 2),
            (PRETTY[0] + b"\n" + FLAT[1], 2),
            (PRETTY[0] + FLAT[1], 2),
            (b"[" + b",".join(FLAT) + b"]", 2),
            (b" \n[\n" + b",\n".join(PRETTY) + b"\n]\n", 2),
            (b"[" + FLAT[0] + b"]", 1),
        ],
    )
    async def test_every_form_is_accepted(
        self,
        client: TestClient,
        gateway: FakeGateway,
        body: bytes,
        stores: int,
        lines: bool,
        mark: bytes,
    ) -> None:
        kind = "application/x-ndjson" if lines else "application/x-www-form-urlencoded"
        response = await client.post("/status", data=mark + body, headers={"Content-Type": kind})
        answer = await response.json(content_type=None)
        assert response.status == HTTPStatus.ACCEPTED, answer
        assert (answer["accepted"], answer["refused"]) == (stores, 0)
        assert len(gateway.broker.polls()) == stores

    async def test_a_large_file_without_its_line_ends_is_accepted(self, client: TestClient) -> None:
        """`curl -d @polls.ndjson` sends such a body."""
        response = await client.post("/status", data=json.dumps(GOOD).encode() * 2000)
        assert (await response.json())["accepted"] == 2000

    async def test_the_error_about_a_line_that_is_too_long_names_the_option_to_use(
        self, client: TestClient
    ) -> None:
        body = b'{"store_id": "' + b"x" * 2 * MAX_POLL_BYTES
        response = await client.post("/status", data=body)
        answer = await problem_with_counts(response, HTTPStatus.UNPROCESSABLE_ENTITY)
        assert "--data-binary" in answer["detail"]

    @pytest.mark.parametrize(
        "broken",
        [
            b'{"store_id": "x", "status": "act',
            b'{"store_id": ',
            b"{",
            b'{"a": [1, 2}',
            b"}{",
            b"{{{{",
            b'{"a": "b" "c"}',
            b",",
            b'{"a": 1},',
            b"]",
            b"\xff\xfe",
        ],
    )
    async def test_a_broken_line_does_not_reject_other_lines(
        self, client: TestClient, gateway: FakeGateway, broken: bytes
    ) -> None:
        body = ndjson(GOOD) + broken + b"\n" + ndjson(OTHER, OTHER)
        answer = await (await client.post("/status", data=body)).json()
        assert answer["accepted"] == 3
        assert answer["refused"] >= 1
        assert answer["items"][0]["index"] == 1
        assert gateway.broker.dead_letters()[0].original is not None

    async def test_an_object_that_never_ends_is_refused(self, client: TestClient) -> None:
        body = ndjson(GOOD) + b'{"store_id": "x",\n"a": [\n' + b"1,\n" * 100_000
        answer = await (await client.post("/status", data=body)).json()
        assert answer["accepted"] == 1
        assert answer["refused"] > 1

    @pytest.mark.parametrize("name", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
    @pytest.mark.parametrize("form", ["array", "lines", "object"])
    async def test_another_encoding_is_named_in_the_error(
        self, client: TestClient, gateway: FakeGateway, name: str, form: str
    ) -> None:
        text = {
            "array": json.dumps([GOOD]),
            "lines": ndjson(GOOD, OTHER).decode(),
            "object": json.dumps(GOOD, indent=1),
        }[form]
        detail = await problem_of(
            await client.post("/status", data=text.encode(name)), HTTPStatus.BAD_REQUEST
        )
        assert detail == f"the body is {name.upper()[:6]}; send UTF-8"
        assert len(gateway.broker.dead_letters()) == 1

    async def test_nothing_of_a_broken_array_is_accepted(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        whole = json.dumps([GOOD] * 2000).encode()
        for body in (
            whole[:-1],
            whole[:-2] + b"]",
            whole[: len(whole) // 2] + b"]",
            whole[:-1] + b",]",
            whole.replace(b"}, {", b"}, , {", 1500).replace(b"}, , {", b"}, {", 1499),
            whole[:-1] + b"}]",
            whole + b"]",
            whole + whole,
            whole + b"\n" + whole,
        ):
            response = await client.post("/status", data=body)
            assert response.status == HTTPStatus.BAD_REQUEST
        assert gateway.broker.polls() == []

    @pytest.mark.parametrize(
        "items",
        [
            [GOOD] * 3000,
            [1] * 100_000,
            [[]] * 60_000,
            ["a, b"] * 30_000,
            [{**GOOD, "more": [{"a": 1}, {"b": [2, 3]}]}] * 1500,
            [GOOD, "x" * 50_000] * 5,
        ],
        ids=["polls", "numbers", "lists", "texts", "nested", "long"],
    )
    async def test_a_large_array_is_read_slice_by_slice(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch, items: list[Any]
    ) -> None:
        sizes = []
        send = poll_batch.PollBatchPublisher._send

        async def counted_send(batch: Any, items: Any) -> None:
            sizes.append(len(items))
            await send(batch, items)

        monkeypatch.setattr(poll_batch.PollBatchPublisher, "_send", counted_send)
        for indent in (None, 1):
            sizes.clear()
            data = json.dumps(items, indent=indent).encode()
            assert len(data) > json_items.SLICE_BYTES
            response = await client.post("/status", data=data)
            answer = await response.json(content_type=None)
            assert response.status != HTTPStatus.BAD_REQUEST, answer
            assert answer["accepted"] + answer["refused"] == len(items) == sum(sizes)
            assert answer["accepted"] == items.count(GOOD)
            assert max(sizes) <= 100
            slices = [len(json.dumps(part)) for part in json_items.array_slices(data)]
            assert max(slices) < 9 * json_items.SLICE_BYTES


class TestDeadLetters:
    """Rejected bodies become dead letters, but an attacker cannot push out those of others."""

    @pytest.fixture
    def gateway(self, monkeypatch: pytest.MonkeyPatch) -> FakeGateway:
        monkeypatch.setattr(ingestion, "DEAD_LETTERS_PER_SECOND", 0.0)
        monkeypatch.setattr(ingestion, "DEAD_LETTERS_AT_ONCE", 3.0)
        return FakeGateway(STORE)

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            (ONE, b"{}"),
            (ONE, b"no"),
            ("/status", b"[1, 2]"),
            ("/status", b"{}\n{}"),
            ("/status", b"7"),
        ],
    )
    async def test_above_the_limit_none_is_written_and_the_answer_and_a_metric_say_so(
        self, client: TestClient, gateway: FakeGateway, path: str, body: bytes
    ) -> None:
        details = [
            (await (await client.post(path, data=body)).json(content_type=None))["detail"]
            for _ in range(4)
        ]
        assert [NO_DEAD_LETTER in detail for detail in details] == [False, False, True, True]
        assert len(gateway.broker.dead_letters()) == 2
        assert gateway.metrics.missing_dead_letters == 2
        assert (
            "store_uptime_dead_letters_not_kept_total 2.0"
            in await (await client.get("/metrics")).text()
        )

    async def test_a_large_body_counts_as_many_dead_letters(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        large = b'"' + b"x" * 3 * ingestion.DEAD_LETTER_BYTES
        response = await client.post("/status", data=large)
        assert response.status == HTTPStatus.BAD_REQUEST
        assert NO_DEAD_LETTER in (await response.json(content_type=None))["detail"]
        await client.post("/status", data=b"7")
        assert len(gateway.broker.dead_letters()) == 1

    async def test_rejected_items_beside_accepted_ones_all_become_dead_letters(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        await client.post("/status", data=ndjson(GOOD, *range(10)))
        assert len(gateway.broker.dead_letters()) == 10

    async def test_only_the_beginning_of_a_long_path_is_stored_and_logged(
        self, client: TestClient, gateway: FakeGateway, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        await client.post(f"/stores/{'x' * 5000}/status", data=b"{}")
        (dead_letter,) = gateway.broker.dead_letters()
        assert len(str(dead_letter.source["path"])) == 200
        (logged,) = (record for record in caplog.records if record.name.startswith("api"))
        assert len(logged.getMessage()) < 500


class TestMany:
    @pytest.mark.parametrize(
        ("data", "headers"),
        [
            (json.dumps([GOOD, OTHER]), {}),
            (json.dumps([GOOD, OTHER]), {"Content-Type": "application/json"}),
            (" \n" + json.dumps([GOOD, OTHER], indent=2), {"Content-Type": "text/plain"}),
            (ndjson(GOOD, OTHER), {"Content-Type": "application/x-ndjson"}),
            (ndjson(GOOD, OTHER), {"Content-Type": "application/jsonl; charset=utf-8"}),
            (ndjson(GOOD, OTHER), {"Content-Type": "application/x-www-form-urlencoded"}),
            (ndjson(GOOD, OTHER), {}),
            (ndjson(GOOD, OTHER).rstrip(), {}),
            (b"\r\n\n" + ndjson(GOOD, OTHER).replace(b"\n", b"\r\n"), {}),
        ],
    )
    async def test_an_array_and_lines_are_accepted(
        self, client: TestClient, gateway: FakeGateway, data: Any, headers: Any
    ) -> None:
        response = await client.post("/status", data=data, headers=headers)
        assert response.status == HTTPStatus.ACCEPTED
        assert await response.json() == {"accepted": 2, "refused": 0, "items": []}
        assert sorted(gateway.broker.polls()) == sorted(
            [(STORE, [[NOON_US, 1]]), (UNKNOWN, [[NOON_US, 1]])]
        )
        assert gateway.unacknowledged.used == gateway.bodies.budget.used == 0

    BAD: tuple[Any, ...] = (
        7,
        {**GOOD, "status": "up"},
        {**GOOD, "store_id": "x"},
        {"status": "active"},
        {**GOOD, "timestamp_utc": "2199-01-01T00:00:00Z"},
    )

    @pytest.mark.parametrize("form", ["array", "lines"])
    async def test_rejected_items_are_listed_and_become_dead_letters_and_reject_no_other(
        self, client: TestClient, gateway: FakeGateway, form: str
    ) -> None:
        items = [GOOD, *self.BAD, OTHER]
        data = ndjson(*items) if form == "lines" else json.dumps(items).encode()
        response = await client.post("/status", data=data)
        assert response.status == HTTPStatus.ACCEPTED
        answer = await response.json()
        assert (answer["accepted"], answer["refused"]) == (2, len(self.BAD))
        assert [item["index"] for item in answer["items"]] == [1, 2, 3, 4, 5]
        assert answer["items"][1]["reason"] == "status is neither active nor inactive: 'up'"
        dead_letters = gateway.broker.dead_letters()
        assert [json.loads(dead_letter.original or b"") for dead_letter in dead_letters] == list(
            self.BAD
        )
        assert [dead_letter.source["item"] for dead_letter in dead_letters] == [1, 2, 3, 4, 5]
        assert [dead_letter.reason for dead_letter in dead_letters] == [
            i["reason"] for i in answer["items"]
        ]
        assert {dead_letter.source["path"] for dead_letter in dead_letters} == {"/status"}
        assert len({dead_letter.source["http"] for dead_letter in dead_letters}) == 1

    async def test_a_line_that_is_no_json_or_too_long_rejects_no_other(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        long = b'{"store_id": "' + b"x" * MAX_POLL_BYTES
        response = await client.post(
            "/status", data=ndjson(GOOD) + b"nonsense\n" + long + b"\n" + ndjson(GOOD)
        )
        answer = await response.json()
        assert (answer["accepted"], answer["refused"]) == (2, 2)
        assert answer["items"][0]["reason"].startswith("not JSON: ")
        assert answer["items"][1]["reason"].startswith("the line is longer than 65,536 bytes")
        originals = [
            (dead_letter.original, dead_letter.truncated)
            for dead_letter in gateway.broker.dead_letters()
        ]
        assert originals == [(b"nonsense", False), (long[:MAX_POLL_BYTES], True)]

    @pytest.mark.parametrize("form", ["array", "lines"])
    async def test_a_body_of_which_nothing_is_accepted_is_422_and_one_dead_letter(
        self, client: TestClient, gateway: FakeGateway, form: str
    ) -> None:
        data = json.dumps(self.BAD).encode() if form == "array" else ndjson(*self.BAD)
        kind = "application/json" if form == "array" else "application/x-ndjson"
        response = await client.post("/status", data=data, headers={"Content-Type": kind})
        answer = await problem_with_counts(response, HTTPStatus.UNPROCESSABLE_ENTITY)
        assert (answer["accepted"], answer["refused"]) == (0, len(self.BAD))
        assert [item["index"] for item in answer["items"]] == [0, 1, 2, 3, 4]
        assert answer["detail"].startswith(
            "no item is accepted (5 refused); item 0: not a JSON object but int"
        )
        (dead_letter,) = gateway.broker.dead_letters()
        assert dead_letter.original == data.rstrip()
        assert dead_letter.reason == answer["detail"]
        assert dead_letter.source["path"] == "/status"
        assert "item" not in dead_letter.source
        assert not dead_letter.truncated

    async def test_the_dead_letter_of_a_single_item_can_be_replayed(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        response = await client.post("/status", json=[{**GOOD, "status": "up"}])
        answer = await problem_with_counts(response, HTTPStatus.UNPROCESSABLE_ENTITY)
        assert (answer["accepted"], answer["refused"]) == (0, 1)
        (dead_letter,) = gateway.broker.dead_letters()
        assert dead_letter.source["item"] == 0
        assert json.loads(dead_letter.original or b"") == {**GOOD, "status": "up"}
        assert dead_letter.reason == answer["items"][0]["reason"]

    @pytest.mark.parametrize(
        ("body", "headers"),
        [
            (b"[]", {}),
            (b"[ \n ]", {}),
            (b"\xef\xbb\xbf[]", {}),
            (b"", {}),
            (b" \n\n", {}),
            (b"\xef\xbb\xbf", {}),
            (b"", {"Content-Type": "application/x-ndjson"}),
            (b" \r\n\t\n", {"Content-Type": "application/x-ndjson"}),
            (b"\xef\xbb\xbf\n", {"Content-Type": "application/x-ndjson"}),
            (b"[]", {"Content-Type": "application/x-ndjson"}),
            (b"\n" * 3_000_000, {}),
        ],
    )
    async def test_a_body_without_items_is_422(
        self, client: TestClient, gateway: FakeGateway, body: bytes, headers: Any
    ) -> None:
        response = await client.post("/status", data=body, headers=headers)
        answer = await response.json(content_type=None)
        assert response.status == HTTPStatus.UNPROCESSABLE_ENTITY
        assert "holds no item" in answer["detail"] or "is empty" in answer["detail"]
        assert gateway.broker.records == []

    async def test_only_the_first_refused_items_are_listed(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rejected_items, "LISTED_ITEMS", 2)
        answer = await (await client.post("/status", json=[1, 2, 3, 4, GOOD])).json()
        assert [item["index"] for item in answer["items"]] == [0, 1]
        assert (answer["accepted"], answer["refused"], answer["not_listed"]) == (1, 4, 2)

    @pytest.mark.parametrize("form", ["array", "lines"])
    async def test_too_many_rejected_items_share_one_dead_letter(
        self, client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, form: str
    ) -> None:
        monkeypatch.setattr(rejected_items, "MAX_DEAD_LETTERS", 3)
        items = [GOOD, *range(4)]
        data = json.dumps(items).encode() if form == "array" else ndjson(*items)
        answer = await (await client.post("/status", data=data)).json()
        assert (answer["accepted"], answer["refused"]) == (1, 4)
        (dead_letter,) = gateway.broker.dead_letters()
        assert dead_letter.reason == "accepted: 1, refused: 4; item 1: not a JSON object but int"
        assert dead_letter.original == b"0\n1\n2"
        assert dead_letter.truncated
        assert "item" not in dead_letter.source

    async def test_rejected_items_that_are_too_large_together_share_one_dead_letter(
        self, client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rejected_items, "KEPT_BYTES", 2 * MAX_POLL_BYTES)
        large = [{"store_id": "x" * 60_000} for _ in range(5)]
        answer = await (await client.post("/status", data=ndjson(GOOD, *large))).json()
        assert (answer["accepted"], answer["refused"]) == (1, 5)
        (dead_letter,) = gateway.broker.dead_letters()
        assert dead_letter.truncated
        assert (dead_letter.original or b"").count(b"store_id") == 2
        assert gateway.bodies.budget.used == 0

    async def test_many_small_rejected_items_become_few_and_small_dead_letters(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        for data in (b"[" + b"1," * 50_000 + b"1]", b"1\n" * 50_000, ndjson(GOOD) + b"1\n" * 9_999):
            headers = {"Content-Type": "application/x-ndjson"}
            response = await client.post("/status", data=data, headers=headers)
            assert (await response.json(content_type=None))["refused"] > 9_000
        dead_letters = [r for r in gateway.broker.records if r.topic == DEAD_LETTERS.name]
        assert len(dead_letters) == 3
        assert sum(len(record.value or b"") for record in dead_letters) < 200_000

    async def test_too_many_refused_items_end_a_body(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(status_body, "SLICE_ITEMS", 2)
        monkeypatch.setattr(poll_batch, "MAX_REJECTED_ITEMS", 3)
        response = await client.post("/status", json=[GOOD, 1, 2, 3, 4, GOOD])
        body = await problem_with_counts(response, HTTPStatus.UNPROCESSABLE_ENTITY)
        assert (body["accepted"], body["refused"]) == (1, 3)

    async def test_items_ahead_of_the_brokers_clock_are_refused_as_the_worker_rejects_them(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        gateway.broker.ahead = -HOUR
        fresh = {"store_id": STORE, "status": "active"}
        answer = await (await client.post("/status", json=[GOOD, fresh])).json()
        assert (answer["accepted"], answer["refused"]) == (1, 1)
        assert answer["items"][0]["index"] == 1
        assert gateway.broker.dead_letters() == [], "the worker writes the dead letter"

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"store_id,status\n", HTTPStatus.BAD_REQUEST),
            (b'[{"store_id": ', HTTPStatus.BAD_REQUEST),
            (b'"text"', HTTPStatus.UNPROCESSABLE_ENTITY),
        ],
    )
    async def test_a_body_that_is_neither_an_array_nor_lines_is_stored_whole(
        self, client: TestClient, gateway: FakeGateway, body: bytes, status: HTTPStatus
    ) -> None:
        detail = await problem_of(await client.post("/status", data=body), status)
        (dead_letter,) = gateway.broker.dead_letters()
        assert (dead_letter.original, dead_letter.reason) == (body, detail)

    @pytest.mark.parametrize("body", [b"", b" \n\n"])
    async def test_the_error_about_an_empty_batch_says_what_to_send(
        self, client: TestClient, body: bytes
    ) -> None:
        response = await client.post("/status", data=body)
        assert response.status in {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST}
        assert "the body is empty: it must be a JSON array" in await response.text()

    async def test_a_deeply_nested_item_is_rejected_and_stored(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        body = f"[{'[' * 900}{']' * 900}, {json.dumps(GOOD)}]".encode()
        answer = await (await client.post("/status", data=body)).json()
        assert (answer["accepted"], answer["refused"]) == (1, 1)
        (dead_letter,) = gateway.broker.dead_letters()
        assert dead_letter.original == b"[" * 900 + b"]" * 900

    async def test_an_array_above_its_limit_is_413(
        self, client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(status_body, "MAX_ARRAY_BYTES", 1000)
        body = json.dumps([GOOD] * 100).encode()
        detail = await problem_of(
            await client.post("/status", data=body), HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        )
        assert detail == "the body is larger than 1,000 bytes"
        assert gateway.broker.polls() == []
        (dead_letter,) = gateway.broker.dead_letters()
        assert (dead_letter.original, dead_letter.truncated) == (body[:1000], True)

    async def test_lines_above_the_limit_are_413_and_earlier_lines_count(
        self, client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(status_body, "MAX_STREAM_BYTES", 1000)

        async def lines() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield ndjson(GOOD)
                await asyncio.sleep(0.001)

        response = await client.post("/status", data=lines())
        body = await problem_with_counts(response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        assert "1,000 bytes" in body["detail"]
        assert 0 < body["accepted"] < 20
        assert sum(len(polls) for _, polls in gateway.broker.polls()) == body["accepted"]

    async def test_lines_are_sent_while_the_body_is_still_being_received(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        async def lines() -> AsyncIterator[bytes]:
            yield ndjson(GOOD)
            while not gateway.broker.polls():  # noqa: ASYNC110  the server's tasks
                await asyncio.sleep(0.001)
            yield ndjson(OTHER)

        response = await client.post("/status", data=lines())
        assert (await response.json())["accepted"] == 2

    async def test_a_silent_broker_is_503_with_counts(
        self, client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publisher, "ANSWER_SECONDS", 0.02)
        gateway.broker.pause()
        response = await client.post("/status", data=ndjson(GOOD, 7))
        body = await problem_with_counts(response, HTTPStatus.SERVICE_UNAVAILABLE)
        assert (body["accepted"], body["refused"]) == (0, 1)
        assert response.headers["Retry-After"] == "5"
        gateway.broker.resume()

    async def test_a_stream_waits_for_acknowledgements_before_it_reads_on(
        self, client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(poll_batch, "UNACKNOWLEDGED_ITEMS", 100)
        monkeypatch.setattr(status_body, "SLICE_ITEMS", 50)
        gateway.broker.pause()
        request = asyncio.create_task(client.post("/status", data=ndjson(*[GOOD] * 2000)))
        await until_waiting(gateway, 1)
        await asyncio.sleep(0.05)
        assert gateway.unacknowledged.used <= 151 * POLL_BYTES
        gateway.broker.resume()
        assert (await (await request).json())["accepted"] == 2000

    async def test_a_slow_body_is_408_and_earlier_lines_count(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(request_body, "IDLE_SECONDS", 0.05)
        hang = asyncio.Event()

        async def lines() -> AsyncIterator[bytes]:
            yield ndjson(GOOD)
            await hang.wait()

        response = await client.post("/status", data=lines())
        body = await problem_with_counts(response, HTTPStatus.REQUEST_TIMEOUT)
        assert body["accepted"] == 1
        hang.set()

    async def test_a_client_that_leaves_in_the_middle_of_a_body_leaves_nothing_behind(
        self, client: TestClient, gateway: FakeGateway, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def lines() -> AsyncIterator[bytes]:
            yield ndjson(GOOD) + b'{"store_id":'
            while not gateway.broker.polls():  # noqa: ASYNC110  the server's tasks
                await asyncio.sleep(0.001)
            raise ConnectionError

        with pytest.raises(Exception):  # noqa: B017, PT011  the client may raise any error
            await client.post("/status", data=lines())
        while gateway.bodies.budget.used or gateway.unacknowledged.used:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert gateway.broker.dead_letters() == [], "half a line is no item"
        assert "Traceback" not in caplog.text

    async def test_a_long_body_ends_when_the_api_stops(
        self, client: TestClient, gateway: FakeGateway
    ) -> None:
        async def lines() -> AsyncIterator[bytes]:
            yield ndjson(GOOD)
            while not gateway.broker.polls():  # noqa: ASYNC110  the server's tasks
                await asyncio.sleep(0.001)
            gateway.bodies.stop_reading()
            while True:
                yield ndjson(GOOD)
                await asyncio.sleep(0.001)

        response = await client.post("/status", data=lines())
        body = await problem_with_counts(response, HTTPStatus.SERVICE_UNAVAILABLE)
        assert body["accepted"] >= 1
        assert response.headers["Retry-After"] == "5"


@pytest.mark.parametrize("path", [ONE, "/status", f"/stores/{STORE}/timezone"])
async def test_a_client_that_still_sends_when_the_server_stops_gets_an_answer(path: str) -> None:
    """The server reads no more then, so a request that waited for its body would never end."""
    gateway = FakeGateway(STORE)
    method = "PUT" if path.endswith("timezone") else "POST"
    hang = asyncio.Event()
    sending = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        yield ndjson(GOOD)
        sending.set()
        await hang.wait()

    server = TestServer(create_app(gateway))
    async with TestClient(server) as client:
        request = asyncio.create_task(client.request(method, path, data=lines()))
        await sending.wait()
        while not gateway.bodies._open:  # noqa: ASYNC110  the server's tasks
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        assert server.runner is not None
        cleanup = asyncio.create_task(server.runner.cleanup())
        response = await request
        assert response.status == HTTPStatus.SERVICE_UNAVAILABLE
        assert response.headers["Retry-After"] == "5"
        if path == "/status":
            assert (await response.json(content_type=None))["accepted"] == 1
        hang.set()
        await cleanup
    assert gateway.unacknowledged.used == gateway.bodies.budget.used == 0


async def test_polls_for_a_lost_connection_are_refused_and_hold_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = FakeGateway(STORE)

    def send(*_: Any) -> Any:
        raise BrokerUnavailableError("lost")

    monkeypatch.setattr(gateway.ingestion._publisher, "_send", send)
    with pytest.raises(BrokerUnavailableError):
        await gateway.ingestion.send_polls(
            {STORE: [(NOON_US, True)] * 5, UNKNOWN: [(NOON_US, True)]}
        )
    with pytest.raises(BrokerUnavailableError):
        await gateway.ingestion.send_poll(STORE, (NOON_US, True))
    assert gateway.unacknowledged.used == 0


async def test_a_stop_waits_for_records_in_flight() -> None:
    gateway = FakeGateway(STORE)
    (sent,) = await gateway.ingestion.send_polls({STORE: [(NOON_US, True)]})
    assert gateway.unacknowledged.used == POLL_BYTES
    await gateway.ingestion.stop(60)
    assert sent.done()
    assert gateway.broker.polls() == [(STORE, [[NOON_US, 1]])]
    assert gateway.unacknowledged.used == 0


async def test_polls_cannot_be_read_by_get(client: TestClient) -> None:
    await problem_of(await client.get("/status"), HTTPStatus.METHOD_NOT_ALLOWED)


async def test_many_clients_at_once_are_all_answered() -> None:
    gateway = FakeGateway(STORE)
    async with TestClient(TestServer(create_app(gateway))) as client:
        answers = await asyncio.gather(
            *(client.post("/status", json=[GOOD, OTHER, 7]) for _ in range(40))
        )
        bodies = [await answer.json() for answer in answers]
    assert {(body["accepted"], body["refused"]) for body in bodies} == {(2, 1)}
    assert gateway.unacknowledged.used == gateway.bodies.budget.used == 0
