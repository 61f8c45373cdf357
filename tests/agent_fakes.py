"""Hand-written stand-ins for what surrounds the agents: Faust, the table, Kafka."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from aiokafka import TopicPartition

from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import REPORT_RESULTS, SOURCE_TOPICS
from stream_app.kafka.batch_producer import BatchMetadata
from stream_app.kafka.offset_tracker import OffsetTracker
from stream_app.settings import Settings
from stream_app.worker.owned_partitions import OwnedPartition
from tests.fake_record import FakeRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from stream_app.contracts.dead_letters import DeadLetter
    from stream_app.contracts.report_results import ReportEvent
    from stream_app.contracts.topics import TopicSpec
    from stream_app.contracts.watermarks import RestoreStatus, Watermark

PARTITIONS = 4
NOW = 1_733_000_000 * 1_000_000


def settings_with(**overrides: Any) -> Settings:
    return Settings.from_environment({}, partitions=PARTITIONS, **overrides)


def store_in(partition: int, number: int = 0) -> str:
    """The id of a store that this partition owns; another one for each number."""
    return _stores_of(partition)[number]


@cache
def _stores_of(partition: int) -> list[str]:
    ids = (str(UUID(int=n, version=4)) for n in range(1, 10_000))
    return [i for i in ids if partition_of(i.encode(), PARTITIONS) == partition]


async def settle() -> None:
    """Let everything run that does not wait for something outside."""
    for _ in range(50):
        await asyncio.sleep(0)


@dataclass
class FakeMessage:
    """What Faust hands out of a Kafka record; the time in seconds."""

    value: bytes | None
    topic: str = "store-status"
    partition: int = 0
    offset: int = 0
    key: bytes | None = b"a key"
    timestamp: float = NOW / 1_000_000
    headers: Sequence[tuple[str, bytes]] = ()

    @property
    def records(self) -> list[FakeRecord]:
        return [
            FakeRecord(
                self.topic,
                self.value,
                partition=self.partition,
                offset=self.offset,
                timestamp=round(self.timestamp * 1000),
                key=self.key,
                headers=self.headers,
            )
        ]


class FakeChunk:
    """What Faust hands out of several records: it has the offset of the last one."""

    def __init__(self, *messages: FakeMessage) -> None:
        self.records = [record for message in messages for record in message.records]
        last = messages[-1]
        self.topic, self.partition, self.offset = last.topic, last.partition, last.offset


class FakeEvent:
    """An event that counts its acknowledgements."""

    def __init__(self, message: Any) -> None:
        self.message = message
        self.acks = 0

    def ack(self) -> None:
        self.acks += 1


def events_of(*values: bytes | None, **of_each: Any) -> list[FakeEvent]:
    """One event a value, at the offsets from 0 on."""
    return [
        FakeEvent(FakeMessage(value, offset=offset, **of_each))
        for offset, value in enumerate(values)
    ]


def run_of(*values: bytes | None, **of_each: Any) -> FakeEvent:
    """One event that carries all values, at the offsets from 0 on."""
    return FakeEvent(
        FakeChunk(*(FakeMessage(v, offset=offset, **of_each) for offset, v in enumerate(values)))
    )


class FakeStream:
    """A stream of given events that ends after the last."""

    def __init__(self, events: Iterable[FakeEvent]) -> None:
        self.enable_acks = True
        self.taken = 0
        self._events = list(events)

    async def events(self) -> AsyncIterator[FakeEvent]:
        assert not self.enable_acks, "Faust would acknowledge when the loop comes round"
        for event in self._events:
            self.taken += 1
            yield event


class Failures:
    """Collects what was passed to `fail`."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def __call__(self, error: BaseException) -> None:
        self.errors.append(error)


class Sends:
    """Futures of records on their way; they arrive at once, or when a test says so."""

    def __init__(self) -> None:
        self.at_once = True
        self.pending: list[asyncio.Future[Any]] = []
        self.next_error: BaseException | None = None

    def future(self, result: Any = None) -> asyncio.Future[Any]:
        sent = asyncio.get_running_loop().create_future()
        if self.next_error is not None:
            sent.set_exception(self.next_error)
            self.next_error = None
        elif self.at_once:
            sent.set_result(result)
        else:
            self.pending.append(sent)
        return sent

    def arrive(self, *positions: int) -> None:
        """The records at these positions are stored; without any, all of them."""
        for sent in [self.pending[p] for p in positions] or list(self.pending):
            if not sent.done():
                sent.set_result(None)


class FakeBatch:
    """Changelog records that are sent together."""

    def __init__(self, sent: asyncio.Future[Any]) -> None:
        self.sent = sent


class FakeFacts:
    """The table as a dictionary; each of its writes is a batch of its own.

    Attributes:
        content: `(partition, key)` to value.
        writes: every write in order.
        sends: the changelog's futures.
        error: raised by `put`.
        revoked: the partitions that were revoked, in order.
        waited_for_capacity: the partitions for which `room` was waited for.
    """

    def __init__(self) -> None:
        self.content: dict[tuple[int, bytes], bytes | None] = {}
        self.writes: list[tuple[int, bytes]] = []
        self.sends = Sends()
        self.error: BaseException | None = None
        self.revoked: list[int] = []
        self.waited_for_capacity: list[int] = []

    def get(self, partition: int, key: bytes) -> bytes | None:
        return self.content.get((partition, key))

    def put(self, partition: int, key: bytes, value: bytes | None) -> FakeBatch:
        if self.error is not None:
            raise self.error
        self.content[partition, key] = value
        self.writes.append((partition, key))
        return FakeBatch(self.sends.future())

    async def wait_for_capacity(self, partition: int) -> None:
        self.waited_for_capacity.append(partition)

    def revoke(self, partition: int) -> None:
        self.revoked.append(partition)

    def of(self, partition: int) -> FakePartitionFacts:
        return FakePartitionFacts(self, partition)


class FakePartitionFacts:
    """One partition of the table."""

    def __init__(self, facts: FakeFacts, number: int) -> None:
        self._facts = facts
        self._number = number

    def get(self, key: bytes) -> bytes | None:
        return self._facts.get(self._number, key)

    def put(self, key: bytes, value: bytes | None) -> Any:
        return self._facts.put(self._number, key, value)

    async def wait_for_capacity(self) -> None:
        await self._facts.wait_for_capacity(self._number)


@dataclass
class Forwarded:
    """A record that went to another partition."""

    topic: str
    partition: int
    key: str
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class RecordingPublisher:
    """Keeps what goes out; `sends` holds the futures of all of it."""

    def __init__(self) -> None:
        self.sends = Sends()
        self.letters: list[DeadLetter] = []
        self.forwarded: list[Forwarded] = []
        self.reports: list[ReportEvent] = []
        self.topics: list[str] = []
        self.latest: list[tuple[bytes, int | None]] = []
        self.registered: list[bytes] = []
        self.unregistered: list[bytes] = []
        self.watermarks: list[Watermark] = []
        self.restores: list[RestoreStatus] = []
        self.tell_error: BaseException | None = None
        self.on_register: Callable[[], None] = lambda: None

    async def publish_dead_letter(self, letter: DeadLetter) -> asyncio.Future[Any]:
        self.letters.append(letter)
        return self.sends.future()

    async def forward(
        self,
        topic: str,
        partition: int,
        key: str,
        value: bytes,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> asyncio.Future[Any]:
        self.forwarded.append(Forwarded(topic, partition, key, value, tuple(headers)))
        return self.sends.future()

    async def publish_report_event(
        self, event: ReportEvent, topic: TopicSpec = REPORT_RESULTS
    ) -> asyncio.Future[Any]:
        self.reports.append(event)
        self.topics.append(topic.name)
        return self.sends.future()

    async def publish_latest_poll(self, store: bytes, newest: Callable[[], int | None]) -> None:
        poll = newest()
        if poll is not None:
            self.latest.append((store, poll))

    def publish_no_latest_poll(self, store: bytes) -> None:
        self.latest.append((store, None))

    def unregister_stores(self, stores: Iterable[bytes]) -> None:
        self.unregistered += stores

    def register_stores(self, stores: Iterable[bytes]) -> None:
        self.registered += stores
        self.on_register()

    async def publish_restore_status(self, status: RestoreStatus) -> None:
        self.restores.append(status)

    async def publish_watermarks(self, watermarks: Iterable[Watermark]) -> None:
        error, self.tell_error = self.tell_error, None
        if error is not None:
            raise error
        self.watermarks += watermarks


@dataclass
class Applied:
    """What `OwnedPartitions.record_applied` was told."""

    partition: int
    stores: set[bytes]
    newest_poll: int | None = None


class FakeOwnedPartitions:
    """Owns what a test says, and keeps what was applied.

    Attributes:
        owned: by number.
        notes: what `applied` was told.
        gone: the stores that `removed` was told.
        elsewhere: how many stores other workers have.
        finished: partition, topic and first offset of what needs nothing more.
    """

    def __init__(self, facts: FakeFacts | None = None) -> None:
        self._facts = FakeFacts() if facts is None else facts
        self.owned: dict[int, OwnedPartition] = {}
        self.notes: list[Applied] = []
        self.gone: list[bytes] = []
        self.elsewhere = 0
        self.finished: list[tuple[int, str, int]] = []

    def own(self, number: int, *stores: bytes) -> OwnedPartition:
        partition = OwnedPartition(number, self._facts.of(number), set(stores))
        partition.offset_trackers = {spec.name: OffsetTracker(0) for spec in SOURCE_TOPICS}
        self.owned[number] = partition
        return partition

    def get(self, partition: int) -> OwnedPartition | None:
        return self.owned.get(partition)

    def complete(self, partition: OwnedPartition, topic: str, offset: int) -> None:
        partition.offset_trackers[topic].complete(offset)
        self.finished.append((partition.number, topic, offset))

    def record_applied(
        self, partition: OwnedPartition, stores: Iterable[bytes], newest_poll: int | None = None
    ) -> None:
        self.notes.append(Applied(partition.number, set(stores), newest_poll))

    def store_count(self) -> int:
        return self.elsewhere + sum(len(partition.stores) for partition in self.owned.values())

    def record_removed(self, partition: OwnedPartition, stores: Iterable[bytes]) -> None:
        partition.stores.difference_update(stores)
        self.gone += stores


class FakeGaps:
    """Says of each gap what a test says: the offset that has to be read before, or nothing.

    Attributes:
        missed: the offset to be read, by the offset of the record behind the gap.
        asked: partition, topic and offset of every record that was asked for.
        on_ask: called while it is looked at.
    """

    def __init__(self) -> None:
        self.missed: dict[int, int] = {}
        self.asked: list[tuple[int, str, int]] = []
        self.on_ask: Callable[[], None] = lambda: None

    async def find_missed_record(self, owned: OwnedPartition, topic: str, first: int) -> int | None:
        self.asked.append((owned.number, topic, first))
        await asyncio.sleep(0)
        self.on_ask()
        return self.missed.get(first)


class FakeAppliedOffsets:
    """Has caught up when a test says so.

    Attributes:
        caught_up: set it to let `catch_up` return.
        errors: raised by the next calls of `catch_up`, in order.
        waiting: how many calls wait now.
        most_waiting: how many ever waited at once.
        highwaters: what `catch_up` returns; 0 for every source partition not named.
        newest: what `newest_poll` says.
        watermarks: what `advance` was told.
        topic_ids: what `topic_id` says.
    """

    def __init__(self) -> None:
        self.caught_up = asyncio.Event()
        self.caught_up.set()
        self.errors: list[Exception] = []
        self.calls = 0
        self.waiting = 0
        self.most_waiting = 0
        self.highwaters: dict[TopicPartition, int] = {}
        self.newest: int | None = None
        self.watermarks: list[Watermark] = []
        self.topic_ids: dict[str, str] = {}

    def set_topic_id(self, topic: str, topic_id: str) -> None:
        self.topic_ids[topic] = topic_id

    def topic_id(self, topic: str) -> str | None:
        return self.topic_ids.get(topic)

    async def catch_up(self) -> dict[TopicPartition, int]:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            await self.caught_up.wait()
        finally:
            self.waiting -= 1
        nothing = {
            TopicPartition(spec.name, number): 0
            for spec in SOURCE_TOPICS
            for number in range(PARTITIONS)
        }
        return nothing | self.highwaters

    def newest_poll(self) -> int | None:
        return self.newest

    def stores_elsewhere(self, _: object) -> int:
        return 0

    def advance(self, watermark: Watermark) -> None:
        self.watermarks.append(watermark)


@dataclass
class Sent:
    """One record that a producer was given."""

    topic: str
    value: bytes
    key: bytes | None
    partition: int | None
    future: asyncio.Future[Any] = field(repr=False)
    headers: Sequence[tuple[str, bytes]] = ()

    def arrive(self, offset: int = 0) -> None:
        self.future.set_result(BatchMetadata(offset, NOW))


class FakeBatches:
    """Record batches of one record each, that arrive when the test says so, or at once."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.sent: list[Sent] = []
        self.at_once = at_once
        self.error: BaseException | None = None

    def add(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        *,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Any:
        if self.error is not None:
            raise self.error
        sent = Sent(
            topic, value, key, partition, asyncio.get_running_loop().create_future(), headers
        )
        self.sent.append(sent)
        if self.at_once:
            sent.arrive(len(self.sent) - 1)
        return FakeBatchOfOne(sent.future)

    async def wait_for_capacity(self, topic: str, partition: int, most: int) -> None:
        pass

    def to(self, topic: str) -> list[Sent]:
        return [sent for sent in self.sent if sent.topic == topic]


class FakeBatchOfOne(FakeBatch):
    """A batch that is closed after its first record."""

    count = 1
