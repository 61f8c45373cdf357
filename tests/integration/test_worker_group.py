"""A worker's place in the group: kept while it is down, given up when it is asked to stop."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from stream_app.contracts.topics import APP_ID
from stream_app.kafka.clients import connection
from tests.integration.worker_process import running_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.fixture
async def admin(kafka_settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**connection(kafka_settings))
    await client.start()
    yield client
    await client.close()


async def group(admin: AIOKafkaAdminClient) -> tuple[str, list[Any]]:
    """State and member ids of the workers' group."""
    try:
        (response,) = await admin.describe_consumer_groups([APP_ID])
    except GroupCoordinatorNotAvailableError:
        return "unknown yet", []
    ((_, _, state, _, _, members, *_),) = response.groups
    return state, [member[0] for member in members]


async def until_stable(admin: AIOKafkaAdminClient) -> list[Any]:
    while (seen := await group(admin))[0] != "Stable":  # noqa: ASYNC110  another process
        await asyncio.sleep(0.1)
    return seen[1]


async def test_a_worker_that_comes_back_takes_its_place_and_one_that_stops_gives_it_up(
    kafka_settings: Settings, admin: AIOKafkaAdminClient, tmp_path: Path
) -> None:
    settings = kafka_settings.replace(data_dir=tmp_path)
    async with running_worker(settings) as worker:
        (first,) = await until_stable(admin)
        assert await worker.stop(signal.SIGKILL) == -signal.SIGKILL
        assert await group(admin) == ("Stable", [first])

    async with running_worker(settings) as worker:
        # a worker without a name of its own would be a second member beside the dead one
        while (members := (await group(admin))[1]) == [first]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert len(members) == 1
        await until_stable(admin)

        async with running_worker(settings) as twin:
            assert await twin.ended() == 3, "a second one in the same folder"
        assert await group(admin) == ("Stable", members)

        assert await worker.stop() == 0
    # its session would go on for ten seconds
    assert await group(admin) == ("Empty", [])
