"""Dead letters are listed, shown, mended and sent again, and then reports count them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from producers.dead_letters.log import DeadLetterFilter, DeadLetterLog
from producers.record_sink import RecordSink
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.dead_letters import DeadLetter, dead_letter_key, encode_dead_letter
from stream_app.contracts.polls import encode_poll, encode_poll_batch
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
)
from stream_app.domain.timestamps import format_instant, parse_instant
from stream_app.kafka.clients import connection
from stream_app.kafka.partition_reader import partition_reader
from tests.e2e.product import COMMAND, Http, broker_environment, up
from tests.sample import ROOT
from tests.unit.contracts.wire import unchecked_hours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stream_app.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

NOON = parse_instant("2024-03-14T12:00:00Z")
"""The reference time, on a Thursday."""


@pytest.fixture(scope="module")
def address(kafka_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a product on the broker of the tests, and return the API's address."""
    running, address = up(
        tmp_path_factory.mktemp("up"), environment=broker_environment(kafka_settings)
    )
    with running:
        yield address


@pytest.fixture
def command(kafka_settings: Settings) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run `store-uptime ...`."""

    def run(*arguments: str, given: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=ROOT,
            env={**os.environ, **broker_environment(kafka_settings), **more},
            input=given,
            capture_output=True,
            timeout=60,
            check=False,
        )

    return run


def list_dead_letters(command: Any, *filters: str) -> list[dict[str, Any]]:
    """Return the dead letters that `list --format json` prints, the newest first."""
    result = command("dead-letters", "list", "--format", "json", "--limit", "1000", *filters)
    assert result.returncode == 0, result.stderr
    dead_letters: list[dict[str, Any]] = json.loads(result.stdout)
    return dead_letters


def dead_letters_of(command: Any, store_id: str, since: str, count: int) -> list[dict[str, Any]]:
    """Wait until a store has `count` dead letters, which the worker writes, and return them."""
    give_up_at = time.monotonic() + 60
    while True:
        dead_letters = [
            dead_letter
            for dead_letter in list_dead_letters(command, "--since", since)
            if store_id in json.dumps([dead_letter["original"], dead_letter["source"]])
        ]
        if len(dead_letters) >= count or time.monotonic() > give_up_at:
            assert len(dead_letters) == count, dead_letters
            return dead_letters
        time.sleep(0.2)


async def report(address: str, store_id: str) -> dict[str, Any]:
    """Request a report of a store at NOON, and return its JSON form."""
    async with Http(address) as http:
        report_id = await http.trigger(store_id, reference_time=format_instant(NOON))
        while (answer := await http.get(report_id, "application/json"))[0] == 202:  # noqa: ASYNC110  over HTTP
            await asyncio.sleep(0.02)
        assert answer[0] == 200, answer
        content: dict[str, Any] = json.loads(answer[1])
        return content


async def publish(settings: Settings, topic: str, value: bytes, key: bytes | None) -> None:
    producer = AIOKafkaProducer(**connection(settings))
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, key)
    finally:
        await producer.stop()


async def test_rows_of_files_are_mended_and_arrive(
    address: str, command: Any, tmp_path: Path
) -> None:
    store = str(uuid.uuid4())
    polls, hours = tmp_path / "p.csv", tmp_path / "h.csv"
    polls.write_text(
        "timestamp_utc,note,status,store_id\n"
        f"2024-03-14T10:00:00Z,,active,{store}\n"
        f"2024-03-14T11:00:00Z,,inactiv,{store}\n",
        encoding="utf-8",
    )
    hours.write_text(
        "store_id,day,start_time_local,end_time_local\n"
        f"{store},2,09:00,17:00\n{store},3,9 am,17:00\n",
        encoding="utf-8",
    )
    replayed = command("replay", "--status", str(polls), "--hours", str(hours))
    assert replayed.returncode == 0, replayed.stderr

    (rejected_poll,) = list_dead_letters(command, "--file", str(polls))
    (rejected_hours,) = list_dead_letters(command, "--file", str(hours))
    shown = command("dead-letters", "show", str(rejected_poll["id"])).stdout.decode()
    assert f"file:      {polls}\nline:      3\nkind:      polls\n" in shown
    assert "columns:   timestamp_utc,,status,store_id\n" in shown
    raw = command("dead-letters", "show", "--raw", str(rejected_poll["id"])).stdout
    assert raw == f"2024-03-14T11:00:00Z,,inactiv,{store}".encode()

    refused = command("dead-letters", "replay", "--file", str(polls))
    assert refused.returncode == 1
    assert b"1 dead letter: 0 sent and acknowledged, 1 still bad" in refused.stdout
    assert b"still bad: status is neither active nor inactive: 'inactiv'" in refused.stderr

    mended = raw.replace(b"inactiv,", b"inactive,") + b"\n"
    replay = ("dead-letters", "replay", "--set-value", "-")
    for dead_letter, value in (
        (rejected_poll, mended),
        (rejected_hours, f"{store},3,06:00,17:00".encode()),
    ):
        sent = command(*replay, str(dead_letter["id"]), given=value)
        assert sent.returncode == 0, sent.stderr
        assert b"1 dead letter: 1 sent and acknowledged" in sent.stdout

    # Chicago is at UTC-5 on that day: 06:00 on Thursday is 11:00 UTC, when a poll was inactive
    figures = await report(address, store)
    assert figures["polls_counted"] == 2
    assert figures["downtime_last_hour"] == 60
    # hours before the first poll count as down too: on Wednesday, and on the Thursday before, when
    # Chicago was at UTC-6 and the week began at its opening
    assert figures["downtime_last_week"] == 1.0 + 8.0 + 11.0


async def test_mended_records_go_back_to_their_topics(
    address: str, command: Any, kafka_settings: Settings
) -> None:
    since = datetime.now(UTC).isoformat()
    store = str(uuid.uuid4())
    batch = encode_poll_batch(store, [(NOON - 60_000_000, True), (4_102_444_800_000_000, True)])
    await publish(kafka_settings, STORE_STATUS.name, batch, store.encode())
    zone = f'{{"store_id":"{store}","timezone_str":7}}'.encode()
    await publish(kafka_settings, STORE_TIMEZONES.name, zone, b"another key")
    await publish(kafka_settings, STORE_STATUS.name, b"\xff" + store.encode(), None)
    dead_letters = dead_letters_of(command, store, since, 2)
    binary = [
        dead_letter
        for dead_letter in list_dead_letters(
            command, "--since", since, "--topic", STORE_STATUS.name
        )
        if isinstance(dead_letter["original"], dict)
    ]
    assert len(binary) == 1
    assert b"base64:" in command("dead-letters", "show", str(binary[0]["id"])).stdout

    ids = [str(dead_letter["id"]) for dead_letter in dead_letters]
    again = command("dead-letters", "replay", *ids, str(binary[0]["id"]))
    assert again.returncode == 1
    assert b"3 dead letters: 0 sent and acknowledged, 3 still bad" in again.stdout

    by_topic = {
        dead_letter["source"]["topic"]: str(dead_letter["id"]) for dead_letter in dead_letters
    }
    single = encode_poll(store, NOON - 120_000_000, active=False)
    for number, value in (
        (by_topic[STORE_TIMEZONES.name], zone.replace(b":7}", b':"Asia/Tokyo"}')),
        (by_topic[STORE_STATUS.name], batch.replace(b"4102444800000000", b"1710417600000000")),
        (str(binary[0]["id"]), single),
    ):
        sent = command("dead-letters", "replay", number, "--set-value", "-", given=value)
        assert sent.returncode == 0, sent.stderr
    figures = await report(address, store)
    assert figures["timezone"] == "Asia/Tokyo"
    assert figures["polls_counted"] == 3
    assert (figures["uptime_last_hour"], figures["downtime_last_hour"]) == (1, 59)


async def test_an_original_that_the_worker_rejects_again_is_a_new_dead_letter(
    address: str, command: Any, kafka_settings: Settings
) -> None:
    """The command allows polls further ahead of the clock than the worker does."""
    assert address
    since = datetime.now(UTC).isoformat()
    store = str(uuid.uuid4())
    ahead = time.time_ns() // 1000 + 3_600_000_000
    await publish(
        kafka_settings, STORE_STATUS.name, encode_poll(store, ahead, active=True), store.encode()
    )
    (first,) = dead_letters_of(command, store, since, 1)
    assert "ahead of the clock" in first["reason"]
    sent = command(
        *("dead-letters", "replay", str(first["id"])), STORE_UPTIME_FUTURE_TOLERANCE="2h"
    )
    assert sent.returncode == 0, sent.stderr
    assert b"what the worker rejects again becomes a new dead letter" in sent.stdout
    newer, older = dead_letters_of(command, store, since, 2)
    assert older == first
    assert newer["id"] > older["id"]
    assert "ahead of the clock" in newer["reason"]


async def test_newer_hours_of_a_store_stay(
    address: str, command: Any, kafka_settings: Settings
) -> None:
    since = datetime.now(UTC).isoformat()
    store = str(uuid.uuid4())
    bad = unchecked_hours(store, [(3, "9 am", "17:00")])
    mended = encode_hours(store, [(3, "09:00", "17:00")])
    newer = encode_hours(store, [(3, "00:00", "24:00")])
    topic = STORE_BUSINESS_HOURS.name
    await publish(kafka_settings, topic, bad, store.encode())
    (dead_letter,) = dead_letters_of(command, store, since, 1)
    await publish(kafka_settings, topic, newer, store.encode())

    replay = ("dead-letters", "replay", str(dead_letter["id"]), "--set-value", "-")
    left = command(*replay, given=mended)
    assert left.returncode == 1
    assert b"1 not sent: their stores have newer hours or timezones" in left.stdout
    assert (await report(address, store))["downtime_last_day"] == 7.0

    dry = command(*replay, "--force", "--dry-run", given=mended)
    assert dry.returncode == 0, dry.stderr
    assert b"1 would be sent" in dry.stdout
    assert (await report(address, store))["downtime_last_day"] == 7.0

    forced = command(*replay, "--force", given=mended)
    assert forced.returncode == 0, forced.stderr
    # NOON is 07:00 in Chicago, and Thursday's hours begin at 09:00
    assert (await report(address, store))["downtime_last_day"] == 0.0


async def test_a_body_rejected_by_http_is_sent_again(address: str, command: Any) -> None:
    since = datetime.now(UTC).isoformat()
    store = str(uuid.uuid4())
    async with aiohttp.ClientSession(address) as session:
        polls = [
            {"store_id": store, "status": "activ", "timestamp_utc": "2024-03-14T11:59:00Z"},
            {"store_id": store, "status": "inactive", "timestamp_utc": "2024-03-14T11:00:00Z"},
        ]
        async with session.post("/status", json=polls) as response:
            assert (await response.json())["refused"] == 1
        async with session.post(f"/stores/{store}/status", json={"status": "on"}) as response:
            assert response.status == 422
        body = {"hours": [[3, "9 am", "17:00"]]}
        async with session.put(f"/stores/{store}/business_hours", json=body) as response:
            assert response.status == 422
        async with session.put(f"/stores/{store}/timezone", json={"timezone_str": 7}) as response:
            assert response.status == 422
    dead_letters = dead_letters_of(command, store, since, 4)
    by_path = {dead_letter["source"]["path"]: dead_letter for dead_letter in dead_letters}
    assert len(by_path) == 4
    for path, value in (
        ("/status", json.dumps({**polls[0], "status": "active"}).encode()),
        (f"/stores/{store}/status", b'{"status":"active"}'),
        (f"/stores/{store}/business_hours", b'{"hours":[[3,"00:00","24:00"]]}'),
        (f"/stores/{store}/timezone", b'{"timezone_str":"UTC"}'),
    ):
        number = str(by_path[path]["id"])
        sent = command("dead-letters", "replay", number, "--set-value", "-", given=value)
        assert sent.returncode == 0, sent.stderr + sent.stdout
    figures = await report(address, store)
    assert figures["timezone"] == "UTC"
    assert (figures["uptime_last_hour"], figures["downtime_last_hour"]) == (1, 59)
    assert (figures["uptime_last_day"], figures["downtime_last_day"]) == (0.02, 11.98)

    # the poll without a time got the time at which it arrived
    async with Http(address) as http:
        report_id = await http.trigger(store, reference_time=datetime.now(UTC).isoformat())
        _, row = await http.wait_until_finished(report_id)
    assert ",0,0.0,0.0,0,0.0,0.0" not in row


async def test_a_topic_of_many_dead_letters_is_read_from_its_end(
    command: Any, kafka_settings: Settings
) -> None:
    """The topic has more than one chunk, and one dead letter is larger than a fetch."""
    name = f"{uuid.uuid4()}.csv"
    async with RecordSink(kafka_settings) as sink:
        for line in range(1, 1201):
            source: dict[str, str | int] = {"file": name, "line": line}
            sent = DeadLetter(source, "why", b"x" * (2_000_000 if line == 1199 else 3))
            await sink.send(DEAD_LETTERS, dead_letter_key(sent), encode_dead_letter(sent))
    newest = list_dead_letters(command, "--file", name)
    assert [dead_letter["source"]["line"] for dead_letter in newest] == list(range(1200, 200, -1))
    result = command("dead-letters", "list", "--file", name, "--limit", "2")
    lines = result.stdout.decode().splitlines()
    assert [f"{name}:1200" in lines[0], f"{name}:1199" in lines[1]] == [True, True]
    assert "(2,000,000 bytes)" in lines[1]
    assert len(lines[1]) < 400
    assert b"... and 1,198 more" in result.stderr
    large = command("dead-letters", "show", "--raw", str(newest[1]["id"]))
    assert large.stdout == b"x" * 2_000_000

    async with partition_reader(kafka_settings) as reader:
        log = await DeadLetterLog.open(reader)
        stored = [item async for item in log.iterate(DeadLetterFilter(file=name))]
        assert [item.dead_letter.source["line"] for item in stored] == list(range(1, 1201))
        since = stored[600].stored_at
        later = [item async for item in log.iterate(DeadLetterFilter(file=name, since=since))]
        assert later == [item for item in stored if item.stored_at >= since]
        after_all = DeadLetterFilter(since=stored[-1].stored_at + 10_000_000)
        assert await log.newest(after_all, 5, str) == ([], 0)

    replayed = command("dead-letters", "replay", "--file", name)
    assert replayed.returncode == 1
    assert (
        b"1,200 dead letters: 0 sent and acknowledged, 1,200 cannot be replayed" in replayed.stdout
    )
    assert b"... and 1,150 more" in replayed.stderr
