"""Packed and hostile bodies have limits, and no other request waits for them."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from api.http.content_coding import PIECE_BYTES
from api.http.ndjson import LineSplitter
from api.ingest import status_body
from api.ingest.schemas import MAX_POLL_BYTES
from tests.unit.api.answers import STORE, UNKNOWN, problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from api.http.ndjson import Line
    from tests.fakes import FakeGateway
    from tests.http_client import TestClient

GOOD = {"store_id": STORE, "status": "active", "timestamp_utc": "2024-03-10T12:00:00Z"}
LINE = json.dumps(GOOD).encode() + b"\n"
GZIP = {"Content-Encoding": "gzip"}

REQUESTS = [
    ("POST", "/status", json.dumps([GOOD]).encode()),
    ("POST", "/status", LINE),
    ("POST", f"/stores/{STORE}/status", b'{"status": "active"}'),
    ("PUT", f"/stores/{STORE}/timezone", b'{"timezone_str": "UTC"}'),
    ("PUT", f"/stores/{STORE}/business_hours", b'{"hours": []}'),
    ("POST", f"/trigger_report/{STORE}", b'{"reference_time": "2024-03-10T12:00:00Z"}'),
    ("POST", "/trigger_report", json.dumps({"store_ids": [STORE]}).encode()),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_every_body_may_be_packed(
    client: TestClient, method: str, path: str, body: bytes
) -> None:
    for coding, data in (
        ("gzip", gzip.compress(body)),
        ("X-GZip", gzip.compress(body)),
        (" deflate ", zlib.compress(body)),
        ("identity", body),
        ("identity, gzip", gzip.compress(body)),
    ):
        response = await client.request(
            method, path, data=data, headers={"Content-Encoding": coding}
        )
        assert response.status == HTTPStatus.ACCEPTED, (coding, await response.text())


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_an_unknown_coding_is_415_and_its_body_is_not_used(
    client: TestClient, gateway: FakeGateway, method: str, path: str, body: bytes
) -> None:
    for coding in ("rot13", "br", "zstd", "gzip, gzip", "gzip;q=1", "gz\xecp"):
        response = await client.request(
            method, path, data=body, headers={"Content-Encoding": coding}
        )
        await problem_of(response, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        assert response.headers["Accept-Encoding"] == "gzip, deflate"
    assert not gateway.broker.records
    assert not gateway.requests


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_a_body_that_was_cut_short_is_400(
    client: TestClient, method: str, path: str, body: bytes
) -> None:
    for data in (gzip.compress(body)[:-3], gzip.compress(body) + b"more"):
        response = await client.request(method, path, data=data, headers=GZIP)
        assert response.status == HTTPStatus.BAD_REQUEST
        assert "gzip body" in (await response.json(content_type=None))["detail"]


async def test_the_lines_before_the_end_of_a_truncated_body_count(
    client: TestClient, gateway: FakeGateway
) -> None:
    body = gzip.compress(LINE * 2000)
    response = await client.post("/status", data=body[: len(body) // 2], headers=GZIP)
    answer = await response.json(content_type=None)
    assert response.status == HTTPStatus.BAD_REQUEST
    assert "ends early" in answer["detail"]
    assert 0 < answer["accepted"] < 2000
    assert sum(len(polls) for _, polls in gateway.broker.polls()) == answer["accepted"]
    # a wrong checksum is answered in the same way
    response = await client.post("/status", data=body[:-5] + b"\xff" * 5, headers=GZIP)
    answer = await response.json(content_type=None)
    assert response.status == HTTPStatus.BAD_REQUEST
    assert 0 < answer["accepted"] <= 2000


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_a_body_that_unpacks_to_a_hundred_times_itself_is_413_and_read_no_further(
    client: TestClient, method: str, path: str, body: bytes
) -> None:
    bomb = gzip.compress(body + b" " * (64 << 20))
    response = await client.request(method, path, data=bomb, headers=GZIP)
    assert response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert response.headers["Content-Type"] == "application/problem+json"


async def test_limits_count_what_is_unpacked(
    client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_body, "MAX_STREAM_BYTES", 100 * len(LINE))
    data = gzip.compress(LINE * 150)
    assert len(data) < 10 * len(LINE)
    response = await client.post("/status", data=data, headers=GZIP)
    assert response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    path = f"/stores/{STORE}/status"
    body = gzip.compress(b'{"status": "active"}' + b" " * MAX_POLL_BYTES)
    response = await client.post(path, data=body, headers=GZIP)
    detail = await problem_of(response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    assert detail == "the body is larger than 65,536 bytes"
    assert not gateway.broker.polls()


async def test_after_a_413_no_more_of_the_body_is_read(client: TestClient) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(
        f"POST /stores/{STORE}/status HTTP/1.1\r\nHost: localhost\r\n"
        "Transfer-Encoding: chunked\r\n\r\n".encode()
    )
    piece = b"%x\r\n" % PIECE_BYTES + b" " * PIECE_BYTES + b"\r\n"
    writer.write(piece * 3)
    # the body has no end: a server that reads on would read for ever
    answer = await reader.readuntil(b"\r\n\r\n")
    assert b" 413 " in answer
    await reader.read()
    assert reader.at_eof()
    writer.close()


class Turns:
    """Counts the turns of the event loop, and the bytes that the splitter gets in each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.bytes_by_turn: dict[int, int] = {}
        self.lines = 0
        feed, end = LineSplitter.feed, LineSplitter._end

        def counted_feed(splitter: LineSplitter, chunk: bytes) -> Iterator[Line]:
            earlier = self.bytes_by_turn.get(self.count, 0)
            self.bytes_by_turn[self.count] = earlier + len(chunk)
            return feed(splitter, chunk)

        def counted_end(splitter: LineSplitter) -> Iterator[Line]:
            self.lines += 1
            return end(splitter)

        monkeypatch.setattr(LineSplitter, "feed", counted_feed)
        monkeypatch.setattr(LineSplitter, "_end", counted_end)

    async def watch(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


@pytest.fixture
async def turns(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Turns]:
    turns = Turns(monkeypatch)
    watching = asyncio.create_task(turns.watch())
    yield turns
    watching.cancel()


BLANK = b"\n" * (3 << 20)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (LINE + BLANK, {}),
        (LINE + b" \r\n\t" * (1 << 20), {}),
        (LINE * 2 + gzip.compress(b""), {}),
        (gzip.compress(LINE + bytes(range(256)) * 200 + BLANK[: 1 << 20]), GZIP),
        (b"".join(gzip.compress(LINE * 100) for _ in range(100)), GZIP),
    ],
    ids=["blank", "spaces", "rubbish", "packed", "parts"],
)
async def test_other_requests_get_a_turn_after_every_piece(
    client: TestClient, turns: Turns, body: bytes, headers: dict[str, str]
) -> None:
    response = await client.post("/status", data=body, headers=headers)
    await response.read()
    assert max(turns.bytes_by_turn.values()) <= PIECE_BYTES


async def test_short_lines_without_an_item_keep_no_other_request_waiting(
    client: TestClient, turns: Turns
) -> None:
    before = turns.count
    response = await client.post("/status", data=LINE + b'{"a":\n' * 50_000)
    assert response.status == HTTPStatus.ACCEPTED
    assert turns.count - before > 50_000 / status_body.SLICE_LINES


async def test_blank_lines_cost_nothing_each(client: TestClient, turns: Turns) -> None:
    body = LINE + BLANK + json.dumps({**GOOD, "store_id": UNKNOWN}).encode()
    response = await client.post("/status", data=body)
    answer: dict[str, Any] = await response.json()
    assert answer["accepted"] == 2
    # a line that the end of a piece divides is looked at twice
    assert turns.lines < 2 + 2 * len(body) / PIECE_BYTES
