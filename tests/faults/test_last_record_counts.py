"""Hours and timezones on any partition: the record that the broker appended last counts."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import CommitFailedError

from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.revisions import ORIGIN_HEADER
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import (
    APP_ID,
    SOURCE_TOPICS,
    STORE_BUSINESS_HOURS,
    STORE_TIMEZONES,
)
from stream_app.kafka.clients import connection
from stream_app.local.processes.environment import environment_of
from tests.faults.deployment import deployment
from tests.faults.report_requests import Client
from tests.integration.topic_records import read_records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from stream_app.settings import Settings
    from tests.faults.deployment import Deployment

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.timeout(300),
]

MONDAY: Final = "2024-01-08T00:00:00Z"
REFERENCE: Final = datetime(2024, 1, 8, 23, tzinfo=UTC)
COMPACTED: Final = (STORE_BUSINESS_HOURS, STORE_TIMEZONES)

OLD: Final = ("10:00", "Asia/Tokyo")
"""The time at which a store closes that opens at nine, and its timezone."""

RIGHT: Final = ("17:00", "UTC")
HOURS_OPEN: Final = {"10:00": 1.0, "12:00": 3.0, "17:00": 8.0}

Fact = tuple[str, str]


def new_store_outside(partition: int) -> str:
    """Make the id of a new store that belongs to another partition than this one."""
    while True:
        store_id = str(uuid.uuid4())
        if partition_of(store_id.encode(), 8) != partition:
            return store_id


class Clients:
    """Clients that send facts to any partition, and read the product's reports and views."""

    def __init__(self, product: Deployment, http: Client, producer: AIOKafkaProducer) -> None:
        self.product = product
        self.http = http
        self._producer = producer

    def partition(self, store_id: str, moved: int = 0) -> int:
        """Return the store's own partition, or the one that is `moved` numbers further."""
        count = self.product.settings.partitions
        return (partition_of(store_id.encode(), count) + moved) % count

    async def produce(
        self, store_id: str, fact: Fact, partition: int, headers: Iterable[tuple[str, bytes]] = ()
    ) -> None:
        """Send hours and timezone to a partition."""
        closes, timezone = fact
        for spec, value in (
            (STORE_BUSINESS_HOURS, encode_hours(store_id, [(0, "09:00", closes)])),
            (STORE_TIMEZONES, encode_timezone(store_id, timezone)),
        ):
            await self._producer.send_and_wait(
                spec.name, value, store_id.encode(), partition=partition, headers=list(headers)
            )

    async def put(self, store_id: str, fact: Fact) -> None:
        """Send hours and timezone over HTTP."""
        closes, timezone = fact
        for path, body in (
            ("business_hours", {"hours": [[0, "09:00", closes]]}),
            ("timezone", {"timezone": timezone}),
        ):
            answer = await self.http.request("PUT", f"/stores/{store_id}/{path}", json=body)
            assert answer[0] == 202, answer

    async def poll(self, store_id: str) -> None:
        body = {"status": "active", "timestamp_utc": MONDAY}
        answer = await self.http.request("POST", f"/stores/{store_id}/status", json=body)
        assert answer[0] == 202, answer

    async def report(self, store_id: str) -> dict[str, Any]:
        status, report = await self.http.wait_until_finished(
            await self.http.trigger_at(store_id, REFERENCE)
        )
        assert status == "complete", report
        return report

    async def differences(self, expected: dict[str, Fact]) -> list[str]:
        """Return a line for each difference of reports and the API's views from these facts."""
        reports = dict(
            zip(expected, await asyncio.gather(*map(self.report, expected)), strict=True)
        )
        lines = []
        for store_id, (closes, timezone) in expected.items():
            report = reports[store_id]
            if timezone == "UTC" and report["uptime_last_day"] != HOURS_OPEN[closes]:
                lines.append(f"{store_id}: {report['uptime_last_day']} hours open")
            hours = [[0, "09:00", closes]]
            _, view = await self.http.request("GET", f"/stores/{store_id}")
            for name, answer in (("report", report), ("view", view)):
                if (answer["business_hours"], answer["timezone"]) != (hours, timezone):
                    lines.append(
                        f"{name} {store_id}: {answer['business_hours']} {answer['timezone']}"
                    )
        return lines

    async def explain_outcome(self, store_id: str) -> str:
        """Make a report, and return the outcome that `store-uptime explain` prints for it."""
        report = await self.report(store_id)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stream_app.cli.main", "explain", report["report_id"]),
            *("--format", "json", "--api", self.product.address),
            env=environment_of(self.product.settings, os.environ),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        return str(orjson.loads(out)["outcome"])


@asynccontextmanager
async def clients_of(product: Deployment) -> AsyncIterator[Clients]:
    async with (
        Client(product.address) as http,
        AIOKafkaProducer(**connection(product.settings)) as producer,
    ):
        yield Clients(product, http, producer)


async def read_from_the_beginning(product: Deployment) -> None:
    """Restart the workers with the group's offsets at the beginning of all source topics."""
    await product.stop_workers()
    settings = product.settings
    consumer = AIOKafkaConsumer(**connection(settings), group_id=APP_ID, enable_auto_commit=False)
    await consumer.start()
    try:
        sources = [
            TopicPartition(spec.name, number)
            for spec in SOURCE_TOPICS
            for number in range(settings.partitions)
        ]
        consumer.assign(sources)
        beginning = await consumer.beginning_offsets(sources)
        async with asyncio.timeout(60):
            # a worker is a member of the group until it leaves or its session ends
            while not await _committed(consumer, beginning):  # noqa: ASYNC110  another process
                await asyncio.sleep(1)
    finally:
        await consumer.stop()
    for worker in product.workers.values():
        worker.mark()
    await product.start_workers()
    await product.wait_until_all_own()


async def _committed(consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> bool:
    try:
        await consumer.commit(offsets)
    except CommitFailedError:
        return False
    return True


async def compact(settings: Settings, clients: Clients) -> None:
    """Let the broker compact hours and timezones now, and wait until it has."""
    quickly = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.0", "segment.bytes": "1048576"}
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        await admin.alter_configs(
            [
                ConfigResource(
                    ConfigResourceType.TOPIC, spec.name, spec.configs(settings) | quickly
                )
                for spec in COMPACTED
            ]
        )
    finally:
        await admin.close()
    filler = {
        clients.partition(store_id): store_id
        for store_id in map(str, (uuid.uuid4() for _ in range(500)))
    }
    async with asyncio.timeout(120):
        while True:
            # the last segment of a log is never compacted: a new record has to close it
            for partition, store_id in filler.items():
                await clients.produce(store_id, RIGHT, partition)
            await asyncio.sleep(2)
            twice = [
                key
                for spec in COMPACTED
                for key, count in Counter(
                    (r.partition, r.key) for r in await read_records(settings, spec)
                ).items()
                if count > 1 and key[1].decode() not in filler.values()
            ]
            if not twice:
                return


SentFacts = list[tuple[Fact, int | None]]
"""The facts of a store in the order of sending, each with its way: None by HTTP, -1 to partition 0,
other numbers to the partition that is as many numbers after the store's own."""

BETWEEN: Final = ("12:00", "Asia/Tokyo")
CASES: Final[tuple[SentFacts, ...]] = (
    [(OLD, -1), (RIGHT, None)],
    [(OLD, None), (RIGHT, -1)],
    [(RIGHT, 3)],
    [(OLD, 1), (RIGHT, 2)],
    [(OLD, 2), (RIGHT, 1)],
    [(OLD, 1), (BETWEEN, 1), (RIGHT, 1)],
    [(OLD, 1), (RIGHT, None), (OLD, 2), (RIGHT, None)],
    [(RIGHT, None), (OLD, 1), (RIGHT, None)],
)


async def send_facts(clients: Clients, facts: SentFacts) -> str:
    """Send facts of a new store, of which the last is `RIGHT`, and return the store's id."""
    store_id = new_store_outside(0)
    for fact, moved in facts:
        if moved is None:
            await clients.put(store_id, fact)
        else:
            partition = 0 if moved < 0 else clients.partition(store_id, moved)
            await clients.produce(store_id, fact, partition)
    await clients.poll(store_id)
    return store_id


@pytest.mark.faults_short
async def test_the_last_record_counts_on_any_partition_and_after_it_is_read_again(
    tmp_path: Path,
) -> None:
    async with deployment(tmp_path, workers=2) as product, clients_of(product) as clients:
        await product.stop_workers()
        expected = {await send_facts(clients, facts): RIGHT for facts in CASES}
        await product.start_workers()
        await product.wait_until_ready()
        assert await clients.differences(expected) == []
        for store_id in list(expected)[:2]:
            assert await clients.explain_outcome(store_id) == "agrees"

        # while workers run, each record is applied before the next one comes
        expected |= {await send_facts(clients, facts): RIGHT for facts in CASES[:4]}
        assert await clients.differences(expected) == []

        await read_from_the_beginning(product)
        assert await clients.differences(expected) == []
        product.check_nothing_crashed()


@pytest.mark.faults_short
async def test_a_forged_origin_header_does_not_outrank_later_records(tmp_path: Path) -> None:
    async with deployment(tmp_path, workers=1) as product, clients_of(product) as clients:
        expected: dict[str, Fact] = {}
        for moved in (0, 1):
            store_id = new_store_outside(0)
            own = clients.partition(store_id)
            claimed = {
                "append_time_ms": 4_000_000_000_000,
                "partition": own if moved else 0,
                "offset": 1 << 60,
            }
            header = (ORIGIN_HEADER, orjson.dumps(claimed))
            await clients.produce(store_id, OLD, own, [header])
            await clients.poll(store_id)
            assert await clients.differences({store_id: OLD}) == []
            await clients.put(store_id, BETWEEN)
            assert await clients.differences({store_id: BETWEEN}) == []
            await clients.produce(store_id, RIGHT, 0)
            expected[store_id] = RIGHT
        assert await clients.differences(expected) == []
        await read_from_the_beginning(product)
        assert await clients.differences(expected) == []
        product.check_nothing_crashed()


async def test_compaction_leaves_the_record_that_counts(tmp_path: Path) -> None:
    async with deployment(tmp_path, workers=2) as product, clients_of(product) as clients:
        expected = {await send_facts(clients, facts): RIGHT for facts in CASES}
        # afterwards forwarded records have higher offsets than newer ones
        await read_from_the_beginning(product)
        assert await clients.differences(expected) == []

        await compact(product.settings, clients)
        await read_from_the_beginning(product)
        # the API builds its view anew from the records that compaction has left
        await product.api.stop()
        await product.api.start()
        await product.wait_until_ready()
        assert await clients.differences(expected) == []
        for store_id in expected:
            assert await clients.explain_outcome(store_id) == "agrees"
        await product.rebuild()
        assert await clients.differences(expected) == []
        product.check_nothing_crashed()


@pytest.mark.faults_short
async def test_records_sent_at_once_to_wrong_partitions_and_by_http(tmp_path: Path) -> None:
    async with deployment(tmp_path, workers=2) as product, clients_of(product) as clients:
        stores = [new_store_outside(0) for _ in range(100)]

        async def send_at_once(number: int, store_id: str) -> None:
            misplaced = clients.produce(store_id, OLD, 0)
            if number % 2:
                await misplaced
                await clients.put(store_id, RIGHT)
            else:
                await asyncio.gather(misplaced, clients.put(store_id, RIGHT))
            await clients.poll(store_id)

        await asyncio.gather(*(send_at_once(*each) for each in enumerate(stores)))
        expected = await last_appended(product.settings, set(stores))
        assert all(expected[store_id] == RIGHT for store_id in stores[1::2])
        assert await clients.differences(expected) == []
        await read_from_the_beginning(product)
        assert await clients.differences(expected) == []


async def last_appended(settings: Settings, stores: set[str]) -> dict[str, Fact]:
    """Return the facts of each store that the broker appended last, as the topics show it."""
    newest: list[dict[str, Any]] = [{}, {}]
    for facts, spec in zip(newest, COMPACTED, strict=True):
        sent = [record for record in await read_records(settings, spec) if not record.headers]
        for record in sorted(sent, key=lambda record: _append_order(record, settings)):
            facts[record.key.decode()] = orjson.loads(record.value)
    hours, timezones = newest
    return {
        store_id: (hours[store_id]["hours"][0][2], timezones[store_id]["timezone_str"])
        for store_id in stores
    }


def _append_order(record: Any, settings: Settings) -> tuple[int, bool, int]:
    own = partition_of(record.key, settings.partitions) == record.partition
    return record.timestamp, own, record.offset
