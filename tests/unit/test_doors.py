"""One value has one meaning everywhere: in files, bodies, queries, Kafka and commands."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import click
import pytest
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from api.app import create_app
from producers.csv_replay.open_file import Table
from producers.csv_replay.poll_rows import StoreNumbers, read_polls
from producers.csv_replay.store_rows import StoreRows, read_hours
from producers.csv_replay.table import HOURS, POLLS
from producers.dead_letters.decode import decode_original
from stream_app.cli import report as report_command
from stream_app.cli.dead_letters import _instant
from stream_app.cli.main import cli
from stream_app.contracts.business_hours import decode_hours
from stream_app.contracts.dead_letters import DeadLetter
from stream_app.contracts.polls import decode_poll_batch
from stream_app.contracts.report_requests import decode_request
from stream_app.domain.business_hours import WeeklyHours
from stream_app.domain.timestamps import LATEST, parse_instant
from stream_app.errors import RecordError
from stream_app.settings import Settings
from tests.fakes import FakeGateway
from tests.http_client import TestClient
from tests.unit.contracts.wire import wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STORE = "97dd66d5-660c-48eb-8b5a-792c529ec4dd"
REPORT = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
REFUSED = "refused"

DAY_BEGINS = parse_instant("2023-01-25T00:00:00Z")
TIMES: dict[str, Any] = {
    "2023-01-25T00:00:00Z": DAY_BEGINS,
    "2023-01-24T24:00:00Z": DAY_BEGINS,
    "2023-01-24T24:00Z": DAY_BEGINS,
    "2023-01-24T24:00:00.000Z": DAY_BEGINS,
    "2023-01-24 24:00:00 UTC": DAY_BEGINS,
    "20230124T240000Z": DAY_BEGINS,
    "2023-W04-2T24:00:00Z": DAY_BEGINS,
    "2023-01-24T24:00:00-00:00": DAY_BEGINS,
    "2023-01-24T18:00:00-06:00": DAY_BEGINS,
    "2023-01-24 18:00:00 -06:00": DAY_BEGINS,
    "2023-01-25T00:00:00.123456789Z": DAY_BEGINS + 123_456,
    "2023-01-25T00:00:00.9999999Z": DAY_BEGINS + 999_999,
    "2022-12-31T24:00:00Z": parse_instant("2023-01-01T00:00:00Z"),
    "2024-02-28T24:00:00Z": parse_instant("2024-02-29T00:00:00Z"),
    "2023-01-24T24:00:01Z": REFUSED,
    "2023-01-24T24:01:00Z": REFUSED,
    "2023-01-24T24:00:00.000001Z": REFUSED,
    "2023-01-24T25:00:00Z": REFUSED,
    "2023-01-24T23:59:60Z": REFUSED,
    "2023-01-24T23:60:00Z": REFUSED,
    "2023-01-24T00:00:00+24:00": REFUSED,
    "2023-01-24T00:00:00+01:60": REFUSED,
    "2023-02-30T00:00:00Z": REFUSED,
    "2023-01-24T1:00:00Z": REFUSED,
    "2023-01-24": REFUSED,
    "\uff12\uff10\uff12\uff13-01-24T00:00:00Z": REFUSED,
    "2023-01-24T00:00:\u0660\u0660Z": REFUSED,
    "1674604800": REFUSED,
    "2099-12-31T24:00:00Z": REFUSED,
}

HOURS_ROWS: dict[tuple[str, str, str], Any] = {
    ("0", "09:00", "17:00"): ((9, 17),),
    ("0.0", "09:00", "17:00"): ((9, 17),),
    ("-0", "09:00", "17:00"): ((9, 17),),
    ("0e0", "09:00", "17:00"): ((9, 17),),
    ("6.000", "09:00", "17:00"): ((6 * 24 + 9, 6 * 24 + 17),),
    ("0", "00:00", "24:00"): ((0, 24),),
    ("0", "00:00", "24:00:00.000"): ((0, 24),),
    ("0", "00:00", "23:59:59.999999"): ((0, 24),),
    ("0", "00:00", "23:59:59.9999999"): ((0, 24),),
    ("0", "00:00", "23:59:59.999999999"): ((0, 24),),
    ("0.5", "09:00", "17:00"): REFUSED,
    ("7", "09:00", "17:00"): REFUSED,
    ("7.0", "09:00", "17:00"): REFUSED,
    ("-1", "09:00", "17:00"): REFUSED,
    ("1e9", "09:00", "17:00"): REFUSED,
    ("0", "24:00", "17:00"): REFUSED,
    ("0", "09:00", "24:00:01"): REFUSED,
    ("0", "09:00", "25:00"): REFUSED,
    ("0", "09:00", "5 PM"): REFUSED,
    ("0", "", ""): REFUSED,
}
HOUR = 3_600_000_000

IDS: dict[str, Any] = {
    STORE: STORE,
    STORE.upper(): STORE,
    STORE.replace("-", ""): STORE,
    STORE.replace("-", "").upper(): STORE,
    STORE.replace("-", "", 1): STORE,
    f" {STORE} ": STORE,
    f"{{{STORE}}}": REFUSED,
    f"urn:uuid:{STORE}": REFUSED,
    STORE[:-1]: REFUSED,
    STORE + "0": REFUSED,
    STORE.replace("-", "_"): REFUSED,
    STORE.replace("-", "--", 1): REFUSED,
    "-".join(STORE.replace("-", "")): REFUSED,
    STORE.replace("9", "\uff19", 1): REFUSED,
}


def outcome(read: Any, *values: Any) -> Any:
    try:
        return read(*values)
    except (RecordError, ValueError, click.BadParameter):
        return REFUSED


@pytest.fixture
async def gateway() -> FakeGateway:
    return FakeGateway(STORE)


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[TestClient]:
    async with TestClient(TestServer(create_app(gateway))) as client:
        yield client


def poll_of_file(tmp_path: Path, store_id: str, time: str, earliest: int = 0) -> Any:
    """Return the store and the instant of the one row of a file."""
    path = tmp_path / "polls.csv"
    path.write_text(f"store_id,status,timestamp_utc\n{store_id},active,{time}\n")
    stores = StoreNumbers()
    table = Table(path, POLLS)
    (chunk,) = read_polls(table, stores, lambda: LATEST, earliest)
    table.close()
    rows = chunk.accepted.rows()
    assert len(rows) + len(chunk.rejected) == 1
    return (stores.ids[rows[0][0]], rows[0][1]) if rows else REFUSED


def poll_of_record(store_id: str, time: str) -> Any:
    value = wire({"store_id": store_id, "status": "active", "timestamp_utc": time})
    batch, _ = decode_poll_batch(value)
    return batch.store_id, batch.polls[0][0]


async def polls_sent(gateway: FakeGateway) -> Any:
    sent = [(store, instant) for store, polls in gateway.broker.polls() for instant, _ in polls]
    gateway.broker.records.clear()
    return sent[0] if sent else REFUSED


async def time_of_query(client: Any, gateway: FakeGateway, time: str) -> Any:
    gateway.queries.clear()
    await client.get(f"/stores/{STORE}/timeline", params={"to": time})
    return gateway.queries[0].reference_time if gateway.queries else REFUSED


async def time_of_trigger(client: Any, gateway: FakeGateway, field: str, time: str) -> Any:
    gateway.requests.clear()
    response = await client.post(f"/trigger_report/{STORE}", json={field: time})
    if response.status == HTTPStatus.ACCEPTED:
        return gateway.requests[0].reference_time
    assert response.status == HTTPStatus.UNPROCESSABLE_ENTITY
    return REFUSED


def time_of_command(monkeypatch: pytest.MonkeyPatch, time: str) -> Any:
    requested: list[Any] = []

    async def reports(*arguments: Any) -> Any:
        requested.append(arguments[3])
        return [], []

    monkeypatch.setattr(report_command, "_reports", reports)
    result = CliRunner().invoke(cli, ["report", STORE, "--at", time, "--api", "http://h:1"])
    assert result.exit_code == (0 if requested else 2), result.output
    return requested[0] if requested else REFUSED


@pytest.mark.parametrize(("time", "instant"), TIMES.items())
async def test_a_time_has_one_meaning_everywhere(
    client: TestClient,
    gateway: FakeGateway,
    tmp_path: Path,
    time: str,
    instant: Any,
) -> None:
    poll = instant if instant == REFUSED else (STORE, instant)
    request = {"report_id": REPORT, "store_id": STORE, "reference_time": time}
    assert poll_of_file(tmp_path, STORE, time) == poll
    assert outcome(poll_of_record, STORE, time) == poll
    item = {"status": "active", "timestamp_utc": time}
    await client.post(f"/stores/{STORE}/status", json=item)
    assert await polls_sent(gateway) == poll
    await client.post("/status", json=[{"store_id": STORE, **item}])
    assert await polls_sent(gateway) == poll
    assert outcome(lambda: decode_request(wire(request)).reference_time) == instant
    assert await time_of_trigger(client, gateway, "reference_time", time) == instant
    assert await time_of_trigger(client, gateway, "end", time) == instant
    assert await time_of_query(client, gateway, time) == instant


@pytest.mark.parametrize(("time", "instant"), TIMES.items())
def test_a_time_has_the_same_meaning_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, time: str, instant: Any
) -> None:
    assert time_of_command(monkeypatch, time) == instant
    option: Any = None
    assert outcome(_instant, option, option, time) == instant


@pytest.mark.parametrize(
    "time", ["1970-01-01T00:00:05Z", "1970-01-21T15:50:00Z", "1999-12-31T23:59:59.999999Z"]
)
async def test_a_poll_of_an_implausible_time_is_refused_everywhere(
    client: TestClient, gateway: FakeGateway, tmp_path: Path, time: str
) -> None:
    earliest = gateway.settings.earliest_poll
    assert poll_of_file(tmp_path, STORE, time, earliest) == REFUSED
    item = {"status": "active", "timestamp_utc": time}
    response = await client.post(f"/stores/{STORE}/status", json=item)
    assert response.status == HTTPStatus.UNPROCESSABLE_ENTITY
    detail = (await response.json(content_type=None))["detail"]
    assert detail.startswith(f"{time} lies before 2000-01-01T00:00:00Z ")
    await client.post("/status", json=[{"store_id": STORE, **item}])
    assert await polls_sent(gateway) == REFUSED
    # tests/unit/worker/agents/test_ingest.py has the record; its dead letter is rejected again
    dead_letter = DeadLetter({"topic": "store-status"}, "why", wire({"store_id": STORE, **item}))
    with pytest.raises(RecordError, match="STORE_UPTIME_EARLIEST_POLL"):
        decode_original(dead_letter, stored_at=0, clock=DAY_BEGINS, tolerance=0, earliest=earliest)
    assert parse_instant(time) < earliest <= parse_instant("2000-01-01T00:00:00Z")
    assert poll_of_file(tmp_path, STORE, "2000-01-01T00:00:00Z", earliest) == (STORE, earliest)


def hours_of_file(tmp_path: Path, row: tuple[str, str, str]) -> Any:
    path = tmp_path / "hours.csv"
    path.write_text(
        f"store_id,dayOfWeek,start_time_local,end_time_local\n{STORE},{','.join(row)}\n"
    )
    store_rows = StoreRows()
    table = Table(path, HOURS)
    list(read_hours(table, store_rows))
    table.close()
    rows = store_rows.hours.get(STORE)
    return REFUSED if rows is None else WeeklyHours.from_rows(rows).intervals


@pytest.mark.parametrize(("row", "hours"), HOURS_ROWS.items())
async def test_a_row_of_hours_has_one_meaning_everywhere(
    client: TestClient,
    gateway: FakeGateway,
    tmp_path: Path,
    row: tuple[str, str, str],
    hours: Any,
) -> None:
    day, start, end = row
    as_list = f'[{day},"{start}","{end}"]'
    as_object = f'{{"day":{day},"start_time_local":"{start}","end_time_local":"{end}"}}'
    expected = hours
    if hours != REFUSED:
        expected = tuple((first * HOUR, last * HOUR) for first, last in hours)

    def of_record(value: bytes | None) -> Any:
        return decode_hours(value).hours.weekly.intervals

    record = f'{{"store_id":"{STORE}","hours":[{as_list}]}}'.encode()
    assert hours_of_file(tmp_path, row) == expected
    assert outcome(of_record, record) == expected
    for row_in_json in (as_list, as_object):
        gateway.broker.records.clear()
        await client.put(f"/stores/{STORE}/business_hours", data=f'{{"hours":[{row_in_json}]}}')
        sent = [r.value for r in gateway.broker.records if r.topic == "store-business-hours"]
        assert (of_record(sent[0]) if sent else REFUSED) == expected


@pytest.mark.parametrize(("text", "store_id"), IDS.items())
async def test_an_id_has_one_meaning_everywhere(
    client: TestClient,
    gateway: FakeGateway,
    tmp_path: Path,
    text: str,
    store_id: Any,
) -> None:
    time = "2023-01-25T00:00:00Z"
    poll = store_id if store_id == REFUSED else (store_id, DAY_BEGINS)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if store_id == REFUSED else HTTPStatus.OK
    assert poll_of_file(tmp_path, text, time) == poll
    assert outcome(poll_of_record, text, time) == poll
    await client.post(
        "/status", json=[{"store_id": text, "status": "active", "timestamp_utc": time}]
    )
    assert await polls_sent(gateway) == poll
    # aiohttp knows no path with braces in it
    in_path = HTTPStatus.NOT_FOUND if "{" in text else status
    assert (await client.get(f"/stores/{text}")).status == in_path
    assert (await client.get("/stores", params={"after": text})).status == status
    if store_id != REFUSED:
        answer = await client.get("/stores", params={"prefix": text})
        assert await answer.json() == {"store_ids": [STORE], "next": None}
    request = {"report_id": text, "store_id": text}
    decoded = outcome(lambda: decode_request(wire(request)))
    assert (decoded if decoded == REFUSED else decoded.store_id) == store_id
    assert (decoded if decoded == REFUSED else decoded.report_id) == store_id
    environment = {"STORE_UPTIME_PUBLIC_STORES": text}
    try:
        shown: Any = Settings.from_environment(environment).public_stores
    except Exception:  # noqa: BLE001  any error is a refusal
        shown = REFUSED
    assert shown == (store_id if store_id == REFUSED else {STORE: STORE})


POLL = f'{{"store_id":"{STORE}","status":"active","status":"inactive"}}'
GOOD_POLL = f'{{"store_id":"{STORE}","status":"active"}}'
TWICE = "stands twice in one object"
BODIES = {
    f"/stores/{STORE}/status": '{"status":"active","status":"inactive"}',
    f"/stores/{STORE}/business_hours": '{"hours":[[0,"09:00","17:00"]],"hours":[]}',
    f"/stores/{STORE}/timezone": '{"timezone_str":"UTC","timezone_str":"Europe/Berlin"}',
    f"/trigger_report/{STORE}": '{"daily":true,"duration":"P1D","daily":false}',
    "/trigger_report": '{"exact":true,"exact":false}',
}


@pytest.mark.parametrize(("path", "body"), BODIES.items())
async def test_a_body_with_a_repeated_key_is_refused(
    client: TestClient, gateway: FakeGateway, path: str, body: str
) -> None:
    method = "PUT" if path.endswith(("hours", "timezone")) else "POST"
    response = await client.request(method, path, data=body)
    assert response.status == HTTPStatus.UNPROCESSABLE_ENTITY
    detail = (await response.json(content_type=None))["detail"]
    assert detail.endswith(TWICE)
    assert gateway.requests == []
    for dead_letter in gateway.broker.dead_letters():
        assert (dead_letter.original, dead_letter.reason) == (body.encode(), detail)
        with pytest.raises(RecordError, match=TWICE):
            decode_original(dead_letter, stored_at=0, clock=DAY_BEGINS, tolerance=0)
    topics = [record.topic for record in gateway.broker.records]
    assert topics == ([] if "trigger" in path else ["dead-letters"])


@pytest.mark.parametrize(
    ("body", "accepted"),
    [
        (f"[{GOOD_POLL},{POLL}]", 1),
        (f"[{POLL}, {GOOD_POLL}]", 1),
        (f"[{','.join([GOOD_POLL] * 500)},{POLL}]", 500),
        (f"{GOOD_POLL}\n{POLL}\n", 1),
        (f"{POLL}{GOOD_POLL}", 1),
        (POLL.replace(",", ",\n") + GOOD_POLL, 1),
        (GOOD_POLL + '\n{"store_id":\n' + POLL, 1),
    ],
    ids=["array", "first", "slices", "lines", "one line", "over lines", "behind a broken one"],
)
async def test_an_item_with_a_repeated_key_is_refused(
    client: TestClient, gateway: FakeGateway, body: str, accepted: int
) -> None:
    response = await client.post("/status", data=body)
    answer = await response.json()
    assert (response.status, answer["accepted"]) == (HTTPStatus.ACCEPTED, accepted)
    assert answer["items"][-1]["reason"].endswith(TWICE)
    dead_letter = gateway.broker.dead_letters()[-1]
    assert dead_letter.reason.endswith(TWICE)
    assert (dead_letter.original or b"").replace(b"\n", b"") == POLL.encode()
    with pytest.raises(RecordError, match=TWICE):
        decode_original(dead_letter, stored_at=0, clock=DAY_BEGINS, tolerance=0)
