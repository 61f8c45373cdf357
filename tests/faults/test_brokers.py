"""Faults 9 to 14: the only broker, or one of three, is killed, frozen, restarted or down."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from stream_app.contracts.topics import APP_ID, STORE_STATUS
from stream_app.kafka.clients import connection
from tests.faults.deployment import FENCED

if TYPE_CHECKING:
    from stream_app.local.kafka.node import KafkaNode
    from tests.faults.conftest import UnderLoad
    from tests.faults.deployment import Deployment
    from tests.faults.scenario import Scenario

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(600)]

LOST: Final = "the Kafka broker is out of reach: what comes in waits for it"
BACK: Final = "the Kafka broker answers again, after"
NO_BROKER: Final = "no Kafka broker answers"


async def test_the_leading_broker_is_killed_five_times(faulty: UnderLoad) -> None:
    async with faulty("9: kill -9 of the leading broker of three, five times", nodes=3) as scene:
        for _ in range(5):
            await _kill(scene, await _leading_node(scene.product))


async def test_the_leading_broker_is_frozen(faulty: UnderLoad) -> None:
    async with faulty("10: SIGSTOP of the leading broker of three, 30 s", nodes=3) as scene:
        leader = await _leading_node(scene.product)
        for worker in scene.product.workers.values():
            # the group may have removed the worker, if the frozen broker was the coordinator
            worker.may_end(FENCED)
        scene.mark_fault()
        leader.pause()
        await asyncio.sleep(30)
        leader.resume()
        await scene.load.wait_until_acknowledged(300)


async def test_the_group_coordinator_is_killed(faulty: UnderLoad) -> None:
    async with faulty("11: kill -9 of the group coordinator of three brokers", nodes=3) as scene:
        for _ in range(2):
            await _kill(scene, await _coordinator(scene.product))


async def test_the_only_broker_is_away(faulty: UnderLoad) -> None:
    async with faulty("12: the only broker down for 70 s") as scene:
        (broker,) = scene.product.kafka.nodes
        scene.mark_fault()
        await broker.kill()
        await asyncio.sleep(10)
        assert await scene.product.readiness() == "the Kafka broker is out of reach"
        assert await _send_old_poll(scene.product, scene.stores[0].id) == 503
        await asyncio.sleep(60)
        await broker.start()
        await scene.product.kafka.wait_until_ready()
        await scene.load.wait_until_acknowledged(300)
        for process in scene.product.processes:
            assert len(process.logged(LOST)) == 1
            await process.wait_until_logged(BACK)


async def test_there_is_no_broker_at_the_start(faulty: UnderLoad) -> None:
    async with faulty("12: no broker at the start of workers and API") as scene:
        product = scene.product
        (broker,) = product.kafka.nodes
        scene.mark_fault()
        await product.stop()
        await broker.kill()
        for process in product.processes:
            process.may_end(NO_BROKER)
            process.mark()
            await process.start()
        for process in product.processes:
            await process.wait_until_logged(NO_BROKER)
        assert NO_BROKER in await product.readiness()
        await broker.start()
        await product.kafka.wait_until_ready()
        await product.wait_until_ready()
        await scene.load.wait_until_acknowledged(300)


async def test_two_of_three_brokers_are_away(faulty: UnderLoad) -> None:
    async with faulty("13: two of three brokers down for 30 s, then back", nodes=3) as scene:
        one, other, _ = scene.product.kafka.nodes
        scene.mark_fault()
        await asyncio.gather(one.kill(), other.kill())
        await asyncio.sleep(5)
        # one copy alone must not acknowledge anything
        before = scene.ledger.poll_count
        assert await _send_old_poll(scene.product, scene.stores[0].id) == 503
        await asyncio.sleep(25)
        assert scene.ledger.poll_count == before
        await asyncio.gather(one.start(), other.start())
        await scene.product.kafka.wait_until_ready()
        await scene.load.wait_until_acknowledged(300)


async def test_all_three_brokers_are_restarted_one_after_the_other(faulty: UnderLoad) -> None:
    async with faulty("14: rolling restart of three brokers", nodes=3) as scene:
        for node in scene.product.kafka.nodes:
            scene.mark_fault()
            await node.stop()
            await node.start()
            await scene.product.kafka.wait_until_ready()
            await scene.load.wait_until_acknowledged(300)


async def _kill(scene: Scenario, node: KafkaNode) -> None:
    """Kill a broker, wait for work that is done without it, and start it again."""
    scene.mark_fault()
    await node.kill()
    await scene.load.wait_until_acknowledged(300)
    await node.start()
    await scene.product.kafka.wait_until_ready()


async def _leading_node(product: Deployment) -> KafkaNode:
    """Return the broker that leads most partitions of the polls."""
    admin = AIOKafkaAdminClient(**connection(product.settings))
    await admin.start()
    try:
        (topic,) = await admin.describe_topics([STORE_STATUS.name])
    finally:
        await admin.close()
    leaders = Counter(partition["leader"] for partition in topic["partitions"])
    return product.kafka.node(leaders.most_common(1)[0][0])


async def _coordinator(product: Deployment) -> KafkaNode:
    admin = AIOKafkaAdminClient(**connection(product.settings))
    await admin.start()
    try:
        return product.kafka.node(await admin.find_coordinator(APP_ID))
    finally:
        await admin.close()


async def _send_old_poll(product: Deployment, store_id: str) -> int:
    """Send a poll that no report counts, and return the status of the answer."""
    body = {"status": "active", "timestamp_utc": "2001-01-01T00:00:00Z"}
    async with (
        aiohttp.ClientSession(product.address) as session,
        session.post(f"/stores/{store_id}/status", json=body) as response,
    ):
        assert response.status != 503 or response.headers["Retry-After"]
        return response.status
