"""Reads the offsets at which a group goes on: commits, ends of the logs, ids of the topics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream_app.contracts.topics import APP_ID, CONSUMED_TOPICS
from stream_app.kafka.clients import connection, start, unavailable
from stream_app.kafka.topic_ids import describe_topics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.kafka.log_reader import LogReader
    from stream_app.kafka.offsets import EndOffsetFetcher
    from stream_app.settings import Settings


@dataclass(frozen=True, slots=True)
class GroupOffsets:
    """Offsets of the consumed topics' partitions, at one moment.

    Attributes:
        committed: the offsets that the group has committed, of the partitions that have a commit.
        beginnings: the first offset of each log.
        ends: the offset behind the last record of each log.
        topic_ids: the id of each topic, where the brokers tell it.
    """

    committed: dict[TopicPartition, int]
    beginnings: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]
    topic_ids: dict[str, str]


class GroupOffsetsReader:
    """Asks the brokers, over connections that stay open: a rebalance waits for the answer.

    Args:
        settings: how to reach the broker.
        reader: knows the consumed topics; started before this and stopped after it.
        end_offset_fetcher: reads the end offsets of the topics; started before this.
    """

    def __init__(
        self, settings: Settings, reader: LogReader, end_offset_fetcher: EndOffsetFetcher
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._end_offset_fetcher = end_offset_fetcher
        self._admin: Any = None

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        self._admin = AIOKafkaAdminClient(**connection(self._settings))
        await start(self._admin, self._settings)

    async def stop(self) -> None:
        """Disconnect."""
        if self._admin is not None:
            await self._admin.close()

    async def read(self, partitions: Iterable[int]) -> GroupOffsets:
        """Return the offsets of these partitions of all consumed topics.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        requested = [
            TopicPartition(spec.name, partition)
            for spec in CONSUMED_TOPICS
            for partition in partitions
        ]
        try:
            committed = await self._admin.list_consumer_group_offsets(APP_ID, partitions=requested)
            topics = await describe_topics(self._admin, [spec.name for spec in CONSUMED_TOPICS])
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        beginnings, ends = await asyncio.gather(
            asyncio.gather(*(self._reader.beginning(*partition) for partition in requested)),
            self._end_offset_fetcher.fetch(requested),
        )
        return GroupOffsets(
            # -1 is Kafka's word for: nothing committed
            {tp: commit.offset for tp, commit in committed.items() if commit.offset >= 0},
            dict(zip(requested, beginnings, strict=True)),
            ends,
            {name: topic.id for name, topic in topics.items() if topic.id is not None},
        )
