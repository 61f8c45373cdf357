"""Webhooks of real reports are delivered although the API that has them is killed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import signal
import sys
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from api.webhooks.concurrency import ConcurrencyLimiter
from api.webhooks.consumer import WebhookConsumer
from producers.record_sink import RecordSink
from stream_app.contracts.dead_letters import decode_dead_letter
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.topics import DEAD_LETTERS, STORE_STATUS, WEBHOOKS, WEBHOOKS_GROUP
from stream_app.contracts.webhooks import Webhook, encode_webhook
from stream_app.domain.timestamps import HOUR, format_instant
from stream_app.kafka.clients import connection
from stream_app.local.processes.environment import environment_of
from stream_app.local.processes.ports import free_ports
from tests.integration.gateways import now
from tests.integration.topic_records import read_records
from tests.integration.worker_process import running_worker
from tests.unit.api.webhooks.receiver import KEY, SECRET, Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from stream_app.contracts.dead_letters import DeadLetter
    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka


class ApiProcess:
    """An API that runs as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self._process = process
        self.address = address

    async def stop(self, number: int) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)
        await self._process.wait()


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[ApiProcess]:
    settings = settings.replace(api_port=free_ports(1)[0])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stream_app.cli.main", "api"),
        env=environment_of(settings, os.environ),
        stderr=asyncio.subprocess.DEVNULL,
    )
    api = ApiProcess(process, f"http://127.0.0.1:{settings.api_port}")
    try:
        yield api
    finally:
        await api.stop(signal.SIGTERM)


async def request_report(api: ApiProcess, path: str, **body: Any) -> str:
    """Request a report as soon as the API has connected to the broker, and return its id."""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.post(api.address + path, json=body) as response:
                    if response.status == 202:
                        return str((await response.json())["report_id"])
                    assert response.status == 503, await response.text()
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.1)


def verify(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """Check the signature of a webhook as a receiver does, and return the content."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert hmac.compare_digest(headers["webhook-signature"], expected)
    content: dict[str, Any] = orjson.loads(body)
    assert headers["webhook-id"] == content["data"]["report_id"]
    return content


async def wait_until_all_committed(settings: Settings) -> None:
    """Wait until the group has committed the end offsets of the topic."""
    consumer = AIOKafkaConsumer(
        **connection(settings), group_id=WEBHOOKS_GROUP, enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [
            TopicPartition(WEBHOOKS.name, partition)
            for partition in range(WEBHOOKS.partitions(settings))
        ]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while any([(await consumer.committed(p) or 0) < end for p, end in ends.items()]):  # noqa: ASYNC110  a commit of another process
            await asyncio.sleep(0.1)
    finally:
        await consumer.stop()


async def store_with_polls(settings: Settings) -> tuple[str, int]:
    store, newest = str(uuid.uuid4()), now() - HOUR
    async with RecordSink(settings) as sink:
        value = encode_poll_batch(store, [(newest, True)])
        await sink.send(STORE_STATUS, store.encode(), value)
    return store, newest


async def test_an_api_killed_between_completion_and_delivery(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    async with Receiver(503) as receiver:
        settings = kafka_settings.replace(
            data_dir=tmp_path,
            webhook_hosts=receiver.host,
            webhook_secret=SECRET,
        )
        store, newest = await store_with_polls(settings)
        body = {"webhook": {"url": receiver.url}, "reference_time": format_instant(newest)}
        async with running_worker(settings):
            async with running_api(settings) as doomed:
                report_id = await request_report(doomed, f"/trigger_report/{store}", **body)
                # the report is complete: one delivery has failed, and another one is due
                await receiver.wait_for_requests(1)
                await doomed.stop(signal.SIGKILL)
            tried = len(receiver.requests)
            receiver.answers = [204]
            async with running_api(settings) as api:
                await receiver.wait_for_requests(tried + 1)
                # a webhook of a new report of many stores
                fleet_id = await request_report(api, "/trigger_report", **body)
                await receiver.wait_for_requests(tried + 2)
                await wait_until_all_committed(settings)

    contents = [verify(*received) for received in receiver.requests]
    assert [content["data"]["report_id"] for content in contents] == [
        *[report_id] * (tried + 1),
        fleet_id,
    ]
    assert {content["type"] for content in contents} == {"report.complete"}
    assert contents[0]["data"] == {
        "report_id": report_id,
        "status": "complete",
        "location": f"/get_report/{report_id}",
    }


async def test_two_apis_share_the_webhooks_and_one_dies(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    async with Receiver(204) as receiver, Receiver(410) as gone:
        settings = kafka_settings.replace(
            data_dir=tmp_path,
            webhook_hosts=f"{receiver.host},{gone.host}",
            webhook_secret=SECRET,
        )
        store, newest = await store_with_polls(settings)
        path, at = f"/trigger_report/{store}", format_instant(newest)
        async with (
            running_worker(settings),
            running_api(settings) as doomed,
            running_api(settings) as api,
        ):

            async def request(process: ApiProcess, url: str) -> str:
                return await request_report(process, path, reference_time=at, webhook={"url": url})

            ids = [await request(each, receiver.url) for each in (doomed, api) for _ in range(10)]
            refused = await request(api, gone.url)
            await doomed.stop(signal.SIGKILL)
            ids += [await request(api, receiver.url) for _ in range(5)]
            await wait_until_all_committed(settings)
        records = await read_records(settings, DEAD_LETTERS)

    delivered = [verify(*received)["data"]["report_id"] for received in receiver.requests]
    assert set(delivered) == set(ids), "each at least once"
    assert {headers["webhook-id"] for headers, _ in gone.requests} == {refused}
    reasons = [
        dead_letter.reason
        for dead_letter in (decode_dead_letter(record.value) for record in records)
        if dead_letter.source.get("topic") == WEBHOOKS.name
    ]
    assert set(reasons) == {"answered 410: it wants no more"}


async def test_a_receiver_that_is_down_delays_no_other_and_gets_all_webhooks_afterwards(
    kafka_settings: Settings,
) -> None:
    """Webhooks beyond the receiver's share stay in Kafka, and the next owner reads some of them."""
    down, up = "https://down.example/hook", "https://up.example/hook"
    ids = {url: [str(uuid.uuid4()) for _ in range(600)] for url in (down, up)}
    back = asyncio.Event()
    deliveries: Counter[str] = Counter()

    async def deliver(webhook: Webhook) -> str | None:
        if webhook.url == down:
            await back.wait()
        deliveries[webhook.report_id] += 1
        return None

    async def write_dead_letter(dead_letter: DeadLetter) -> None:
        raise AssertionError(dead_letter)

    async with RecordSink(kafka_settings) as sink:
        for url in (down, up):
            for report_id in ids[url]:
                value = encode_webhook(Webhook(report_id, url, now()))
                await sink.send(WEBHOOKS, report_id.encode(), value)
    limiters = [ConcurrencyLimiter(200), ConcurrencyLimiter(200)]
    for number, limiter in enumerate(limiters):
        consumer = WebhookConsumer(
            kafka_settings, deliver, write_dead_letter, lambda: True, limiter=limiter
        )
        await consumer.start()
        try:
            async with asyncio.timeout(60):
                while not set(ids[up]) <= set(deliveries) or limiter.deferred < 500:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert limiter.running <= 30
            if number:
                back.set()
                await wait_until_all_committed(kafka_settings)
        finally:
            await consumer.stop()
    assert {deliveries[report_id] for report_id in ids[down] + ids[up]} == {1}, "each once"
    assert limiters[1].deferred == 0
