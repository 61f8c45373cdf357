"""Two deployments on one cluster have a prefix each, and see only their own records."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from stream_app.contracts.topics import ALL_TOPICS
from stream_app.kafka.clients import connection, producer
from tests.e2e.product import Http, broker_environment, run, up

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka

STORE = {
    "red.": "11111111-1111-4111-8111-111111111111",
    "blue_": "22222222-2222-4222-8222-222222222222",
}
LATER = "33333333-3333-4333-8333-333333333333"
MENDED = (
    f'{{"store_id": "{LATER}", "status": "active", "timestamp_utc": "2024-01-01 10:00:00 UTC"}}'
)


NONSENSE = f'{{"store_id": "{LATER}", "status": "up"}}'.encode()


async def is_known(address: str, store_id: str) -> bool:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{address}/stores/{store_id}") as answer,
    ):
        return answer.status == 200


async def wait_until_known(address: str, store_id: str) -> None:
    async with asyncio.timeout(60):
        while not await is_known(address, store_id):  # noqa: ASYNC110  over HTTP
            await asyncio.sleep(0.1)


async def test_two_prefixes_on_one_cluster(kafka_broker: Settings, tmp_path: Path) -> None:
    environments = {
        prefix: {
            **broker_environment(kafka_broker),
            "STORE_UPTIME_KAFKA_PREFIX": prefix,
            "STORE_UPTIME_PARTITIONS": "2",
            "STORE_UPTIME_DATA_DIR": str(tmp_path / prefix),
        }
        for prefix in STORE
    }
    addresses = {}
    async with AsyncExitStack() as stack:
        for prefix, environment in environments.items():
            running, addresses[prefix] = await asyncio.to_thread(
                up, tmp_path / prefix, environment=environment
            )
            stack.enter_context(running)
        await _each_sees_its_own(addresses, environments)
        mended = tmp_path / "mended"
        mended.write_text(MENDED)
        await _dead_letters_stay_where_they_are(kafka_broker, addresses, environments, mended)
        await _all_names_have_a_prefix(kafka_broker)


async def _each_sees_its_own(
    addresses: dict[str, str], environments: dict[str, dict[str, str]]
) -> None:
    reports = {}
    for prefix, store_id in STORE.items():
        async with Http(addresses[prefix]) as http:
            poll = {"status": "active", "timestamp_utc": "2024-01-01T10:00:00Z"}
            async with http._session.post(f"/stores/{store_id}/status", json=poll) as answer:
                assert answer.status == 202
            await wait_until_known(addresses[prefix], store_id)
            reports[prefix] = await http.trigger(store_id)
            status, _ = await http.wait_until_finished(reports[prefix])
            assert status == 200
            document = await (await http._session.get("/asyncapi.json")).json()
            assert {c["address"] for c in document["channels"].values()} == {
                prefix + spec.name for spec in ALL_TOPICS
            }
        explained = await asyncio.to_thread(
            run, "explain", reports[prefix], environment=environments[prefix]
        )
        assert explained.returncode == 0, explained.stderr
        assert f"{prefix}store-status/" in explained.stdout
    red, blue = STORE
    for own, other in ((red, blue), (blue, red)):
        assert not await is_known(addresses[own], STORE[other])
        async with Http(addresses[own]) as http:
            assert (await http.get(reports[other]))[0] == 404


async def _dead_letters_stay_where_they_are(
    settings: Settings,
    addresses: dict[str, str],
    environments: dict[str, dict[str, str]],
    mended: Path,
) -> None:
    red, blue = STORE
    client = producer(settings)
    await client.start()
    await client.send_and_wait(f"{red}store-status", NONSENSE, partition=0)
    await client.stop()

    async def list_dead_letters(prefix: str) -> str:
        shown = await asyncio.to_thread(
            run, "dead-letters", "list", environment=environments[prefix]
        )
        assert shown.returncode == 0, shown.stderr
        return shown.stdout

    async with asyncio.timeout(90):
        while f"{red}store-status" not in await list_dead_letters(red):
            pass
    assert f"{red}store-status" not in await list_dead_letters(blue)
    dead_letter = re.search(r"^\s*(\d+)", await list_dead_letters(red), re.MULTILINE)
    assert dead_letter is not None
    again = await asyncio.to_thread(
        run,
        "dead-letters",
        "replay",
        dead_letter[1],
        "--set-value",
        str(mended),
        environment=environments[red],
    )
    assert again.returncode == 0, again.stderr
    await wait_until_known(addresses[red], LATER)
    assert not await is_known(addresses[blue], LATER)


async def _all_names_have_a_prefix(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        topics = {name for name in await admin.list_topics() if name.startswith(tuple(STORE))}
        groups = {name for name, _ in await admin.list_consumer_groups()}
    finally:
        await admin.close()
    assert topics == {prefix + spec.name for prefix in STORE for spec in ALL_TOPICS}
    assert groups >= {f"{prefix}store-uptime" for prefix in STORE}
