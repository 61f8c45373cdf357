"""A producer that fences every earlier writer of a partition.

A worker that was paused for longer than its session does not know that its partitions are
somebody else's, and may still send what it had in flight: a table value that is older than the
new owner's. Kafka fences such a writer by its producer epoch, and does so without transactions
too: asking for the producer id of a transactional id raises its epoch, and once a partition
holds one record of the new epoch it refuses every record of an older one. So each partition has
a transactional id of its own, of which only the id and the epoch are used: a transaction would
cost a marker in the log and a round trip for every batch.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    NotCoordinatorError,
    RequestTimedOutError,
    for_code,
)
from aiokafka.producer.transaction_manager import PidAndEpoch, TransactionManager
from aiokafka.protocol.transaction import InitProducerIdRequest

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.batch_producer import BatchProducer
from stream_app.kafka.clients import (
    producer,
    start,
    stop,
    unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.kafka.batch_producer import Batch
    from stream_app.settings import Settings

_CLAIM_SECONDS: Final = 30.0
_AT_ONCE: Final = 8
_RETRY_SECONDS: Final = 0.1
_TRANSACTION_TIMEOUT_MS: Final = 60_000
"""Kafka wants one with a transactional id; no transaction is ever begun."""

_TRY_AGAIN: Final = (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    NodeNotReadyError,
    NotCoordinatorError,
    RequestTimedOutError,
)


class FencedProducer:
    """Sends to the partitions of one topic that were claimed, each under its own identity.

    Args:
        settings: how to reach the broker.
        topic: the topic.
        linger: seconds for which a record waits for others to share a request.
        options: further arguments of the producer.
    """

    def __init__(
        self, settings: Settings, topic: str, *, linger: float = 0.0, **options: Any
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._linger = linger
        self._options = options
        self._identities: Any = None
        self._producer: Any = None
        self._batches: Any = None
        self._claim_slots = asyncio.Semaphore(_AT_ONCE)

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        # aiokafka makes futures in its constructors: not before the loop runs
        self._identities = _Identities()
        self._producer = producer(self._settings, **self._options)
        _use(self._producer, self._identities)
        await start(self._producer, self._settings)
        self._batches = BatchProducer(self._producer, linger=self._linger)

    async def stop(self) -> None:
        """Send the waiting records, unless the broker takes too long, and disconnect."""
        if self._producer is not None:
            await stop(self._producer, self._batches and self._batches.flush)

    async def claim(self, partitions: Iterable[int]) -> None:
        """Become the only writer of partitions, from the first record on that is sent after this.

        Raises:
            BrokerUnavailableError: the broker did not answer in time.
        """
        try:
            async with asyncio.timeout(_CLAIM_SECONDS):
                await asyncio.gather(*(self._claim(partition) for partition in partitions))
        except TimeoutError as error:
            raise BrokerUnavailableError(
                f"Kafka did not let {self._topic} be claimed within {_CLAIM_SECONDS:g} s"
            ) from error
        except KafkaError as error:
            raise unavailable(self._settings, error) from error

    def add(self, partition: int, key: bytes, value: bytes | None) -> Batch:
        """Put a record into the partition's next batch.

        Returns:
            the batch; it fails with `ProducerFenced` if somebody else has claimed the partition
            since.
        """
        batch: Batch = self._batches.add(self._topic, partition, key, value)
        return batch

    async def wait_for_capacity(self, partition: int, max_bytes: int) -> None:
        """Wait until no more than `max_bytes` bytes of a partition are waiting for the broker."""
        await self._batches.wait_for_capacity(self._topic, partition, max_bytes)

    async def _claim(self, partition: int) -> None:
        # a record in flight under the old identity would be sent again under the new one
        await self._batches.flush_partition(self._topic, partition)
        async with self._claim_slots:
            identity = await self._new_identity(f"{self._topic}-{partition}")
        self._identities.set(TopicPartition(self._topic, partition), identity)

    async def _new_identity(self, transactional_id: str) -> PidAndEpoch:
        """Ask for the producer id of a transactional id, which raises its epoch."""
        client = self._producer.client
        while True:
            try:
                coordinator = await client.coordinator_lookup(
                    CoordinationType.TRANSACTION, transactional_id
                )
                response = await client.send(
                    coordinator,
                    InitProducerIdRequest(transactional_id, _TRANSACTION_TIMEOUT_MS),
                    group=ConnectionGroup.COORDINATION,
                )
            except _TRY_AGAIN:
                client.force_metadata_update()
            else:
                error = for_code(response.error_code)
                if response.error_code == 0:
                    return PidAndEpoch(response.producer_id, response.producer_epoch)
                if error not in _TRY_AGAIN:
                    raise error(transactional_id)
            await asyncio.sleep(_RETRY_SECONDS)


class _Identities(TransactionManager):
    """The producer ids, epochs and sequence numbers that aiokafka sends, by partition."""

    def __init__(self) -> None:
        super().__init__(None, 0)
        self._of_partition: dict[TopicPartition, PidAndEpoch] = {}

    def set(self, partition: TopicPartition, identity: PidAndEpoch) -> None:
        """Use an identity from the next batch on; its sequence begins at 0."""
        self._of_partition[partition] = identity
        self._sequence_numbers.pop(partition, None)

    def has_pid(self) -> bool:
        """Return True, since every claimed partition has an identity: the sender asks for none."""
        return True

    def sequence_number(self, tp: TopicPartition) -> int:
        """Return the next sequence number; aiokafka asks for it right before id and epoch."""
        self._pid_and_epoch = self._of_partition[tp]
        return int(super().sequence_number(tp))


def _use(client: AIOKafkaProducer, identities: _Identities) -> None:
    # the producer hands its manager to these two, and nothing else keeps it
    client._txn_manager = identities  # noqa: SLF001  no public way
    client._sender._txn_manager = identities  # noqa: SLF001
    client._message_accumulator._txn_manager = identities  # noqa: SLF001
