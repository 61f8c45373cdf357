"""Records are read by their offsets, so that a database can be compared with its changelog."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.structs import TopicPartition

from stream_app.kafka.clients import connection
from stream_app.kafka.record_lookup import first_records

if TYPE_CHECKING:
    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka


async def test_the_record_at_an_offset_or_the_next_one_that_exists_is_read(
    kafka_broker: Settings,
) -> None:
    topic = f"log-{uuid.uuid4()}"
    admin = AIOKafkaAdminClient(**connection(kafka_broker))
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
    async with AIOKafkaProducer(**connection(kafka_broker)) as producer:
        for partition in (0, 1):
            for number in range(5):
                await producer.send_and_wait(topic, b"%d" % number, b"k", partition)
    await admin.delete_records({TopicPartition(topic, 1): RecordsToDelete(before_offset=3)})
    await admin.close()

    records = await first_records(kafka_broker, topic, {0: 2, 1: 1})

    assert {p: (record.offset, record.value) for p, record in records.items()} == {
        0: (2, b"2"),
        1: (3, b"3"),
    }
    assert await first_records(kafka_broker, topic, {}) == {}
