"""Reads a partition's log by explicit offsets, one fetch at a time, without a consumer.

A consumer hides which offsets hold no record, since it steps over them. Here every answer is
what the broker has from the asked offset on, batch by batch, so a reader can account for each
offset: it belongs to a record, or the log itself says that there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaError,
    NodeNotReadyError,
    NotLeaderForPartitionError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from stream_app.kafka.clients import connection, start, unavailable
from stream_app.kafka.record_batches import read_batches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.kafka.record_batches import ReadBatch
    from stream_app.settings import Settings

FETCH_BYTES: Final = 1 << 20
"""Bytes of record batches in one answer; a larger batch comes alone."""

_READ_COMMITTED: Final = 1
_EARLIEST: Final = -2
_LATEST: Final = -1


@dataclass(frozen=True, slots=True)
class FetchedLog:
    """The answer to one fetch.

    Attributes:
        batches: the record batches from the asked offset on, in the log's order. The first one
            may begin below the asked offset.
        end: the offset behind the last record that a consumer may read now.
    """

    batches: list[ReadBatch]
    end: int


class LogReader:
    """Fetches from the leaders of partitions over a connection of its own.

    Args:
        settings: how to reach the broker.
        topics: the topics that are read.
    """

    def __init__(self, settings: Settings, topics: Iterable[str]) -> None:
        self._settings = settings
        self._topics = list(topics)
        self._client: Any = None

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        # aiokafka makes futures in its constructors: not before the loop runs
        self._client = AIOKafkaClient(**connection(self._settings))
        await start(self._client, self._settings)
        try:
            await self._client.set_topics(self._topics)
        except KafkaError as error:
            await self._client.close()
            raise unavailable(self._settings, error) from error

    async def stop(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._client.close()

    async def fetch(
        self, topic: str, partition: int, offset: int, *, max_bytes: int = FETCH_BYTES
    ) -> FetchedLog:
        """Read what the log holds from an offset on; the answer comes at once.

        Args:
            topic: one of the topics given at construction.
            partition: the partition number.
            offset: the first offset of interest.
            max_bytes: the answer's size, except that one batch always comes whole.

        Raises:
            OffsetOutOfRangeError: the log begins behind the offset, or ends before it.
            BrokerUnavailableError: the leader did not answer; the next call may succeed.
        """
        topics = [(topic, [(partition, offset, max_bytes)])]
        request = FetchRequest(0, 1, max_bytes, _READ_COMMITTED, topics)
        high_watermark, last_stable, *rest = await self._ask(topic, partition, request)
        end = high_watermark if last_stable in (None, -1) else last_stable
        return FetchedLog(list(read_batches(rest[-1] or b"")), end)

    async def beginning(self, topic: str, partition: int) -> int:
        """Return the first offset that the log still has.

        Raises:
            BrokerUnavailableError: the leader did not answer; the next call may succeed.
        """
        return await self._offset(topic, partition, _EARLIEST)

    async def end(self, topic: str, partition: int) -> int:
        """Return the offset behind the last record that a consumer may read; the leader is asked.

        A broker that was frozen may answer with an old one: `EndOffsetFetcher` asks with more care.

        Raises:
            BrokerUnavailableError: the leader did not answer; the next call may succeed.
        """
        return await self._offset(topic, partition, _LATEST)

    async def _offset(self, topic: str, partition: int, which: int) -> int:
        request = OffsetRequest(-1, _READ_COMMITTED, [(topic, [(partition, which)])])
        _timestamp, offset, *_ = await self._ask(topic, partition, request)
        return int(offset)

    async def _ask(self, topic: str, partition: int, request: Any) -> list[Any]:
        """Send a request about one partition to its leader; return its answer."""
        tp = TopicPartition(topic, partition)
        try:
            leader = self._client.cluster.leader_for_partition(tp)
            if leader is None or leader == -1:
                raise NotLeaderForPartitionError(f"{topic}/{partition} has no leader now")
            response = await self._client.send(leader, request)
            for _topic, answers in response.topics:
                for _partition, code, *answer in answers:
                    if code != 0:
                        raise for_code(code)(f"{topic}/{partition}")
                    return list(answer)
            raise UnknownTopicOrPartitionError(f"{topic}/{partition} is not in the answer")
        except OffsetOutOfRangeError:
            raise
        except KafkaError as error:
            if error.invalid_metadata or isinstance(error, NodeNotReadyError):
                self._client.force_metadata_update()
            raise unavailable(self._settings, error) from error
