"""Fault 16 for all readers: large compressed records, forged ones, and poison in dead letters."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from stream_app.contracts.dead_letters import KEPT_BYTES, DeadLetter, encode_dead_letter
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import encode_poll
from stream_app.contracts.topics import (
    CONSUMED_TOPICS,
    DEAD_LETTERS,
    REPORT_REQUESTS,
    REPORT_RESULTS,
    SOURCE_TOPICS,
    STORE_STATUS,
    STORES,
    WATERMARKS,
)
from stream_app.kafka.clients import connection
from tests.e2e.product import broker_environment, run
from tests.faults.deployment import deployment
from tests.faults.oracle import read_dead_letters
from tests.faults.report_requests import Client, microseconds
from tests.faults.test_poison import ANY_TOPIC

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings
    from tests.faults.conftest import UnderLoad
    from tests.faults.ledger import Poll
    from tests.faults.scenario import Scenario

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(300)]

UNPACKED_BYTES: Final = 20_000_000
POLLS: Final = 100_000


def _client(settings: Settings) -> AIOKafkaProducer:
    """Make a producer that compresses twenty megabytes to some kilobytes."""
    return AIOKafkaProducer(
        **connection(settings),
        acks="all",
        compression_type="gzip",
        max_request_size=2 * UNPACKED_BYTES,
    )


async def test_large_compressed_records_and_forged_ones(faulty: UnderLoad) -> None:
    async with faulty("16: records that unpack to 20 MB, and forged ones", workers=2) as scene:
        product = scene.product
        async with _client(product.settings) as kafka, Client(product.address) as client:
            large = await _send_large_records(kafka)
            partly_rejected = await _send_partly_rejected(kafka, scene)
            answers = await _send_forged_results(kafka)
            await _send_forged_watermarks(kafka, product.settings)
            report_ids = await _send_unusable_requests(kafka)
            scene.expected_dead_letters = len(large) + 1 + len(report_ids)

            for report_id in report_ids:
                ended, content = await client.wait_until_finished(report_id, known=False)
                assert ended == "failed"
                assert content["reason"]
            for report_id, code in answers.items():
                for accept in ("application/json", "text/csv"):
                    status, content = await client.request(
                        "GET", f"/get_report/{report_id}", headers={"Accept": accept}
                    )
                    assert (status, content.get("status")) == (code, code), content
            for store in scene.stores[:8]:
                # without a time the newest poll decides, which no forged record may change
                status, content = await client.request("POST", f"/trigger_report/{store.id}")
                assert status == 202, content
                ended, content = await client.wait_until_finished(content["report_id"])
                assert ended == "complete", content
                assert content["reference_time"] < "2025"

        dead_letters = await read_dead_letters(product.settings)
        while len(dead_letters) < scene.expected_dead_letters:
            await asyncio.sleep(0.2)
            dead_letters = await read_dead_letters(product.settings)
        by_source = {
            tuple(dead_letter.source.values()): dead_letter for dead_letter in dead_letters
        }
        for source, value in large.items():
            assert by_source[source].truncated
            assert by_source[source].original == value[:KEPT_BYTES]
            assert f"the first {KEPT_BYTES} of {len(value)} bytes" in by_source[source].reason
        (source, value), *_ = partly_rejected.items()
        assert by_source[source].original == value
        assert by_source[source].reason.startswith("100 polls rejected: ")

        # the API reads reports and stores from the topics again, with the poison
        assert await product.api.stop() == 0
        await product.api.start()
        await product.wait_until_ready()
        for process in product.processes:
            assert not process.logged("Traceback|internal error")


async def _send_large_records(kafka: AIOKafkaProducer) -> dict[tuple[Any, ...], bytes]:
    """Send one to every topic that is read, and return those that the workers reject.

    The keys of the result are topic, partition and offset.
    """
    value = b'{"store_id": "%s"}' % (b"x" * UNPACKED_BYTES)
    rejected = {}
    for spec in (*CONSUMED_TOPICS, REPORT_RESULTS, STORES, WATERMARKS):
        sent = await kafka.send_and_wait(spec.name, value, b"k", 0)
        if spec in CONSUMED_TOPICS:
            rejected[spec.name, 0, sent.offset] = value
    return rejected


async def _send_partly_rejected(
    kafka: AIOKafkaProducer, scene: Scenario
) -> dict[tuple[Any, ...], bytes]:
    """Send a record of very many polls, of which some are unusable; the others count."""
    store = scene.stores[0]
    polls: list[Poll] = []
    items: list[Any] = []
    for number in range(POLLS):
        instant = store.reference - timedelta(seconds=7 * number)
        if number % 1000 == 0:
            items.append(([True, 1], [-1, 1], [10**18, 1], [None, None], [[[]]])[number % 5])
        else:
            status = "active" if number % 5 else "inactive"
            polls.append((instant, status))
            items.append([microseconds(instant), int(status == "active")])
    value = orjson.dumps({"store_id": store.id, "polls": items})
    partition = partition_of(store.id.encode(), scene.product.settings.partitions)
    scene.ledger.add_sent(store.id, polls)
    sent = await kafka.send_and_wait(STORE_STATUS.name, value, store.id.encode(), partition)
    scene.ledger.add_acknowledged(store.id, polls)
    return {(STORE_STATUS.name, partition, sent.offset): value}


NO_REPORTS: Final[list[Any]] = [[], "x", 5, None, {}, {"store_id": 1e30}]


async def _send_forged_results(kafka: AIOKafkaProducer) -> dict[str, int]:
    """Send results that no worker computed, and return the API's status for each report id."""
    complete = {"status": "complete", "at": "2024-11-04T05:30:00Z"}
    answers = {}
    forged: list[tuple[HTTPStatus, dict[str, Any]]] = [
        *((HTTPStatus.NOT_FOUND, {"report": report}) for report in NO_REPORTS),
        (HTTPStatus.NOT_FOUND, {"status": ["complete"]}),
        (HTTPStatus.NOT_FOUND, {"status": "pending"}),
        (HTTPStatus.NOT_FOUND, {"status": "failed", "reason": 7}),
        (HTTPStatus.NOT_FOUND, {"status": "running", "at": "9999-12-31T23:59:59Z"}),
        (HTTPStatus.NOT_FOUND, {"status": "running", "at": 5}),
    ]
    for answer, fields in forged:
        report_id = str(uuid.uuid4())
        value = orjson.dumps({**complete, "report_id": report_id, **fields})
        await kafka.send_and_wait(REPORT_RESULTS.name, value, b"k")
        answers[report_id] = int(answer)
    return answers


async def _send_forged_watermarks(kafka: AIOKafkaProducer, settings: Settings) -> None:
    """Send impossible watermarks of every partition, and of some that do not exist."""
    partitions: list[tuple[Any, Any]] = [
        (spec.name, partition)
        for spec in SOURCE_TOPICS
        for partition in (True, *range(settings.partitions))
    ]
    partitions += [("no-such-topic", 0), (STORE_STATUS.name, 10**6), (STORE_STATUS.name, -1)]
    for topic, partition in partitions:
        for applied, newest_poll in ((0, 2**63), (0, -1), (0, True), (-1, None), (True, None)):
            value = orjson.dumps(
                {
                    "topic": topic,
                    "partition": partition,
                    "applied": applied,
                    "newest_poll": newest_poll,
                }
            )
            await kafka.send(WATERMARKS.name, value, b"k")
    await kafka.flush()


async def _send_unusable_requests(kafka: AIOKafkaProducer) -> list[str]:
    """Send wrong requests that have a report id: their reports fail, and no client waits."""
    store_id = str(uuid.uuid4())
    fields: tuple[dict[str, Any], ...] = (
        {},
        {"store_id": "shop 7"},
        {"store_id": [store_id]},
        {"store_id": store_id, "reference_time": "soon"},
        {"store_id": store_id, "reference_time": "9999-12-31T23:59:59Z"},
        {"store_id": store_id, "requested_at": -1},
    )
    report_ids = [str(uuid.uuid4()) for _ in fields]
    for report_id, some in zip(report_ids, fields, strict=True):
        value = orjson.dumps({"report_id": report_id, **some})
        await kafka.send_and_wait(REPORT_REQUESTS.name, value, None)
    return report_ids


def _forged_dead_letter(original: bytes | None, **source: str | int) -> bytes:
    return encode_dead_letter(DeadLetter(source, "forged", original))


async def test_poison_among_the_dead_letters(tmp_path: Path) -> None:
    store_id, instant = str(uuid.uuid4()), 1_730_698_200_000_000
    status = STORE_STATUS.name
    good = _forged_dead_letter(
        encode_poll(store_id, instant, active=True), topic=status, partition=0, offset=0
    )
    odd = [
        _forged_dead_letter(None, topic=status, partition=0, offset=10**15),
        _forged_dead_letter(b"\xff", topic=status, partition=-1, offset=-1),
        _forged_dead_letter(b"{}", topic="no-such-topic", partition=0, offset=0),
        _forged_dead_letter(b"x,active,now", file="/no/such/file.csv", line=2),
        _forged_dead_letter(b"{}", http="\x1b[31m", path="/status", item=-1),
        b'{"source": {"topic": ["x"]}, "reason": "", "original": {"base64": "!"}}',
        b'{"source": {"topic": "store-status"}, "reason": "\\u001b[2J", "original": null}',
    ]
    poison = [value for value in ANY_TOPIC.values() if value is not None]
    async with deployment(tmp_path, workers=1) as product, Client(product.address) as client:
        async with _client(product.settings) as kafka:
            await kafka.send_and_wait(status, b"refused by a worker", b"k", 0)
            for value in (*poison, None, *odd, good):
                await kafka.send_and_wait(DEAD_LETTERS.name, value, b"k")
        count = len(poison) + 1 + len(odd) + 2

        async def command(*arguments: str) -> tuple[int, str]:
            process = await asyncio.to_thread(
                run,
                "dead-letters",
                *arguments,
                "--data-dir",
                str(tmp_path),
                environment=broker_environment(product.settings),
            )
            assert "Traceback" not in process.stderr, process.stderr
            # no control sequence reaches the terminal
            assert "\x1b" not in process.stdout + process.stderr
            return process.returncode, process.stdout

        while (listed := await command("list", "--limit", "1000"))[1].count("\n") < count:
            assert listed[0] == 0, "the rejected record becomes a dead letter a little later"
        assert (await command("list", "--limit", "1000", "--format", "json"))[0] == 0
        for number in range(count):
            assert (await command("show", str(number)))[0] == 0

        code, output = await command("replay", "--all")
        # the usable one is sent although the others are not, and the exit code says so
        assert code == 1
        assert f"{count} dead letters: 1 sent and acknowledged" in output
        while (await client.request("GET", f"/stores/{store_id}"))[0] == 404:  # noqa: ASYNC110  over HTTP
            await asyncio.sleep(0.2)
        await product.wait_until_ready()
        product.check_nothing_crashed()
