"""The id of a topic differs from the id of a deleted topic that had the same name."""

from __future__ import annotations

import asyncio
import base64
import uuid
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_app.kafka.clients import connection
from stream_app.kafka.topic_ids import TopicDescription, describe_topics, topic_ids

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.fixture
async def admin(kafka_broker: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**connection(kafka_broker))
    await client.start()
    yield client
    await client.close()


async def create(admin: AIOKafkaAdminClient, name: str, partitions: int) -> None:
    while True:
        response = await admin.create_topics([NewTopic(name, partitions, 1)])
        ((_, code, message),) = response.topic_errors
        if code == 0:
            return
        # the broker has not removed the deleted topic yet
        assert code == 36, message
        await asyncio.sleep(0.1)


async def describe(admin: AIOKafkaAdminClient, name: str) -> TopicDescription:
    while not (topics := await describe_topics(admin, [name])):  # noqa: ASYNC110  a broker
        await asyncio.sleep(0.1)
    return topics[name]


async def test_a_topic_that_is_deleted_and_made_anew_has_another_id(
    kafka_broker: Settings, admin: AIOKafkaAdminClient
) -> None:
    name, other = f"log-{uuid.uuid4()}", f"log-{uuid.uuid4()}"
    await create(admin, name, 3)
    await create(admin, other, 1)
    first = await describe(admin, name)
    # a broker without an authorizer answers that its clients may do everything
    operations = first.operations
    assert operations
    assert first == TopicDescription(name, first.id, 3, replicas=1, operations=operations)
    assert first.id is not None
    assert len(base64.urlsafe_b64decode(first.id + "==")) == 16
    assert await describe(admin, name) == first
    assert (await describe(admin, other)).id not in {first.id, None}
    assert (await topic_ids(kafka_broker, [name, other, "no-such"])).keys() == {name, other}

    await admin.delete_topics([name])
    while await describe_topics(admin, [name]):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    await create(admin, name, 5)
    second = await describe(admin, name)

    assert second.partitions == 5
    assert second.id not in {first.id, None}
    assert await topic_ids(kafka_broker, [name]) == {name: second.id}


async def test_a_lookup_of_an_id_creates_no_topic(
    kafka_broker: Settings, admin: AIOKafkaAdminClient
) -> None:
    name = f"log-{uuid.uuid4()}"
    assert await topic_ids(kafka_broker, [name]) == {}
    assert name not in await admin.list_topics()
