"""The group keeps the membership of a killed worker for its next start; a stopped worker leaves."""

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
    """Return the state and the member ids of the workers' group."""
    try:
        (response,) = await admin.describe_consumer_groups([APP_ID])
    except GroupCoordinatorNotAvailableError:
        return "unknown yet", []
    ((_, _, state, _, _, members, *_),) = response.groups
    return state, [member[0] for member in members]


async def wait_until_stable(admin: AIOKafkaAdminClient) -> list[Any]:
    while (described := await group(admin))[0] != "Stable":  # noqa: ASYNC110  another process
        await asyncio.sleep(0.1)
    return described[1]


async def test_a_restarted_worker_replaces_its_own_member_and_a_stopped_one_leaves_the_group(
    kafka_settings: Settings, admin: AIOKafkaAdminClient, tmp_path: Path
) -> None:
    settings = kafka_settings.replace(data_dir=tmp_path)
    async with running_worker(settings) as worker:
        (first,) = await wait_until_stable(admin)
        assert await worker.stop(signal.SIGKILL) == -signal.SIGKILL
        assert await group(admin) == ("Stable", [first])

    async with running_worker(settings) as worker:
        # a worker without a group instance id would be a second member beside the dead one
        while (members := (await group(admin))[1]) == [first]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert len(members) == 1
        await wait_until_stable(admin)

        async with running_worker(settings) as twin:
            assert await twin.wait_until_ended() == 3, "a second worker in the same folder"
        assert await group(admin) == ("Stable", members)

        assert await worker.stop() == 0
    # without leaving, its session would last ten seconds longer
    assert await group(admin) == ("Empty", [])
