"""A product with a hundred thousand changelog records, made once and copied for each scenario."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import (
    FACTS_TABLE,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
    changelog,
)
from stream_app.kafka.clients import connection, producer
from tests.faults.deployment import ASSIGNED, OWNS_ALL, deployment
from tests.faults.ledger import Ledger
from tests.faults.many_reports import compare_many
from tests.faults.report_requests import microseconds
from tests.faults.stores import make_stores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stream_app.settings import Settings
    from tests.faults.stores import Store

RECORDS: Final = 100_000
STORES: Final = 8_000
_POLLS_A_ROUND: Final = 3


@dataclass(frozen=True, slots=True)
class Archive:
    """A stopped product and the facts that it acknowledged.

    Every store has so few polls that each changelog record matters: if a restore leaves out any
    part of the changelog, the report of some store shows it.

    Attributes:
        folder: a data dir with the stopped broker, and with the facts of all partitions in the
            database of `worker-1`.
        stores: all stores that the product knows.
        ledger: the facts that it acknowledged about them.
        restore_seconds: the time in which one worker with an empty disk restored all partitions.
    """

    folder: Path
    stores: tuple[Store, ...]
    ledger: Ledger
    restore_seconds: float


async def make_archive(
    data_dir: Path, *, records: int = RECORDS, stores: int = STORES, seed: int = 5
) -> Archive:
    """Let a worker write a changelog of at least `records` records, and stop the broker.

    Args:
        data_dir: an empty folder, where the archive stays.
        records: the least number of changelog records.
        stores: the number of stores; polls of one store that a worker reads together become one
            changelog record.
        seed: the same seed gives the same facts.
    """
    known, ledger = make_stores(stores, seed), Ledger()
    randomness = random.Random(seed)
    async with deployment(data_dir, workers=1) as product:
        await _send_hours_and_timezones(product.settings, known, ledger)
        while await _changelog_records(product.settings) < records:
            await _send_polls(product.settings, known, ledger, randomness)
            # the polls must be applied before the next round: a worker writes those that wait
            # together as one record
            await compare_many(product, known[:1], ledger, "while the archive grows")
        worker = product.workers["worker-1"]
        await worker.stop()
        await asyncio.to_thread(shutil.rmtree, product.worker_folder("worker-1"))
        worker.mark()
        await worker.start()
        await worker.wait_until_logged(ASSIGNED)
        started = time.monotonic()
        await worker.wait_until_logged(OWNS_ALL, limit=180)
        restore_seconds = time.monotonic() - started
        await product.wait_until_ready()
        await compare_many(product, known, ledger, "in the archive")
        await product.stop()
        await product.kafka.stop()
    return Archive(data_dir, tuple(known), ledger, restore_seconds)


async def _send_hours_and_timezones(
    settings: Settings, stores: Sequence[Store], ledger: Ledger
) -> None:
    async with producer(settings, linger_ms=20) as kafka:
        for store in stores:
            key = store.id.encode()
            if store.timezone is not None:
                await kafka.send(
                    STORE_TIMEZONES.name, encode_timezone(store.id, store.timezone), key
                )
                ledger.timezones[store.id] = store.timezone
            if store.hours is not None:
                await kafka.send(
                    STORE_BUSINESS_HOURS.name, encode_hours(store.id, store.hours), key
                )
                ledger.hours[store.id] = store.hours


async def _send_polls(
    settings: Settings, stores: Sequence[Store], ledger: Ledger, randomness: random.Random
) -> None:
    """Send some polls of each store, which its worker writes to the buckets of their weeks."""
    async with producer(settings, linger_ms=20) as kafka:
        for store in stores:
            polls = [
                (
                    store.some_instant(randomness).replace(microsecond=0),
                    randomness.choice(("active", "inactive")),
                )
                for _ in range(_POLLS_A_ROUND)
            ]
            value = encode_poll_batch(
                store.id, [(microseconds(instant), status == "active") for instant, status in polls]
            )
            ledger.add_sent(store.id, polls)
            await kafka.send(STORE_STATUS.name, value, store.id.encode())
            ledger.add_acknowledged(store.id, polls)


async def _changelog_records(settings: Settings) -> int:
    topic = changelog(FACTS_TABLE).name
    partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
    async with AIOKafkaConsumer(**connection(settings)) as consumer:
        consumer.assign(partitions)
        return sum((await consumer.end_offsets(partitions)).values())
