"""Hand-written fakes of what the agents of a worker use: Faust, the table of facts and Kafka."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from aiokafka import TopicPartition

from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.report_requests import FleetPartRequest, decode_request, encode_request
from stream_app.contracts.topics import (
    REPORT_REQUESTS,
    REPORT_RESULTS,
    SOURCE_TOPICS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
)
from stream_app.domain.poll_buckets import BucketLayout
from stream_app.domain.poll_sets import PollSets
from stream_app.domain.polls import from_bytes, poll_set, to_bytes
from stream_app.domain.timestamps import HOUR
from stream_app.kafka.applied_offsets import AppliedOffsets
from stream_app.kafka.batch_producer import Batch, BatchMetadata, BatchProducer
from stream_app.kafka.offset_tracker import OffsetTracker
from stream_app.settings import Settings
from stream_app.worker.agents.caught_up_facts import CaughtUpFacts
from stream_app.worker.agents.event_processor import EventProcessor
from stream_app.worker.agents.ingest import Ingest
from stream_app.worker.agents.reports import Reports
from stream_app.worker.commit_tracker import CommitTracker
from stream_app.worker.facts.keys import bucket_key, decode_fact, store_key
from stream_app.worker.gap_skipper import GapSkipper
from stream_app.worker.latest_polls import LatestPollPublisher
from stream_app.worker.metrics import WorkerMetrics
from stream_app.worker.owned_partitions import OwnedPartition, OwnedPartitions, PartitionFacts
from stream_app.worker.publisher import Publisher
from tests.fake_record import FakeRecord

if TYPE_CHECKING:
    from array import array
    from collections.abc import (
        AsyncIterator,
        Callable,
        Collection,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from stream_app.contracts.dead_letters import DeadLetter
    from stream_app.contracts.report_requests import ReportRequestRecord
    from stream_app.contracts.report_results import ReportEvent
    from stream_app.contracts.topics import TopicSpec
    from stream_app.contracts.watermarks import RestoreStatus, Watermark
    from stream_app.domain.poll_buckets import Bucket

PARTITIONS = 4
NOW = 1_733_000_000 * 1_000_000


def settings_with(**overrides: Any) -> Settings:
    return Settings.from_environment({}, partitions=PARTITIONS, **overrides)


def store_in(partition: int, number: int = 0) -> str:
    """Return the id of a store of a partition; each number gives another store."""
    return _stores_of(partition)[number]


@cache
def _stores_of(partition: int) -> list[str]:
    ids = (str(UUID(int=n, version=4)) for n in range(1, 10_000))
    return [i for i in ids if partition_of(i.encode(), PARTITIONS) == partition]


async def settle() -> None:
    """Let all tasks run until each of them waits for an event that only the test can cause."""
    for _ in range(50):
        await asyncio.sleep(0)


@dataclass
class FakeMessage:
    """Faust's message of one Kafka record; `timestamp` in seconds."""

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
    """Faust's message of a chunk of records; it has the offset of the last one."""

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


def events_of(*values: bytes | None, **message_fields: Any) -> list[FakeEvent]:
    """Return one event for each value, at the offsets from 0 on."""
    return [
        FakeEvent(FakeMessage(value, offset=offset, **message_fields))
        for offset, value in enumerate(values)
    ]


def chunk_of(*values: bytes | None, **message_fields: Any) -> FakeEvent:
    """Return one event with a chunk of all values, at the offsets from 0 on."""
    return FakeEvent(
        FakeChunk(
            *(FakeMessage(v, offset=offset, **message_fields) for offset, v in enumerate(values))
        )
    )


class FakeStream:
    """A stream of given events that ends after the last one.

    Attributes:
        delivered: number of events that an agent has received.
    """

    def __init__(self, events: Iterable[FakeEvent]) -> None:
        self.enable_acks = True
        self.delivered = 0
        self._events = list(events)

    async def events(self) -> AsyncIterator[FakeEvent]:
        assert not self.enable_acks, "Faust would acknowledge an event when the next one is read"
        for event in self._events:
            self.delivered += 1
            yield event


class Failures:
    """A handler of fatal errors that collects the errors."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def __call__(self, error: BaseException) -> None:
        self.errors.append(error)


class Sends:
    """Futures of records in flight, which are acknowledged at once or when a test says so."""

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

    def acknowledge(self, *positions: int) -> None:
        """Acknowledge the records at these positions, or all of them if there is none."""
        for sent in [self.pending[p] for p in positions] or list(self.pending):
            if not sent.done():
                sent.set_result(None)


class FakeBatch(Batch):
    """Changelog records that are sent together."""

    def __init__(self, sent: asyncio.Future[Any]) -> None:
        self.sent = sent
        self.count = 1


class FakeFacts:
    """The table as a dictionary; each of its writes is a batch of its own.

    Attributes:
        content: `(partition, key)` to value.
        writes: partition and key of every write, in order.
        sends: the changelog's futures.
        error: raised by `put`.
        revoked: the partitions that were revoked, in order.
        waited_for_capacity: the partition of each call of `wait_for_capacity`, in order.
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


class FakePartitionFacts(PartitionFacts):
    """One partition of the table."""

    def __init__(self, facts: FakeFacts, number: int) -> None:
        self._facts = facts
        self._number = number

    def get(self, key: bytes) -> bytes | None:
        return self._facts.get(self._number, key)

    def scan_stores(
        self, stores: Iterable[bytes], suffixes: Sequence[bytes]
    ) -> Iterator[tuple[bytes, list[bytes | None]]]:
        assert list(suffixes) == sorted(suffixes)
        for store in stores:
            yield store, [self.get(store + suffix) for suffix in suffixes]

    def put(self, key: bytes, value: bytes | None) -> FakeBatch:
        return self._facts.put(self._number, key, value)

    async def wait_for_capacity(self) -> None:
        await self._facts.wait_for_capacity(self._number)


@dataclass
class Forwarded:
    """A record that went to another partition."""

    topic: str
    partition: int
    key: str
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class RecordingPublisher(Publisher):
    """A publisher that records the calls; `sends` has the futures of all records."""

    def __init__(self) -> None:
        self.sends = Sends()
        self.dead_letters: list[DeadLetter] = []
        self.forwarded: list[Forwarded] = []
        self.reports: list[ReportEvent] = []
        self.topics: list[str] = []
        self.latest: list[tuple[bytes, int | None]] = []
        self.registered: list[bytes] = []
        self.unregistered: list[bytes] = []
        self.watermarks: list[Watermark] = []
        self.restores: list[RestoreStatus] = []
        self.watermarks_in_flight: asyncio.Future[None] | None = None
        self.watermark_error: BaseException | None = None
        self.on_register: Callable[[], None] = lambda: None

    async def publish_dead_letter(self, dead_letter: DeadLetter) -> asyncio.Future[Any]:
        self.dead_letters.append(dead_letter)
        return self.sends.future()

    async def forward(
        self,
        topic: str,
        partition: int,
        key: str,
        value: bytes | None,
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
        error, self.watermark_error = self.watermark_error, None
        if error is not None:
            raise error
        self.watermarks += watermarks
        if self.watermarks_in_flight is not None:
            await self.watermarks_in_flight


@dataclass
class Applied:
    """The arguments of a call of `OwnedPartitions.record_applied`."""

    partition: int
    stores: set[bytes]
    newest_poll: int | None = None


class FakeOwnedPartitions(OwnedPartitions):
    """The partitions that a test adds with `own`; the calls are recorded.

    Attributes:
        partitions: the owned partitions by number.
        applied: the calls of `record_applied`.
        removed: the stores of all calls of `record_removed`.
        other_stores: number of stores of other workers.
        completed: partition, topic and first offset of each completed message.
    """

    def __init__(self, facts: FakeFacts | None = None) -> None:
        self._facts = FakeFacts() if facts is None else facts
        self.partitions: dict[int, OwnedPartition] = {}
        self.applied: list[Applied] = []
        self.removed: list[bytes] = []
        self.other_stores = 0
        self.completed: list[tuple[int, str, int]] = []

    def own(self, number: int, *stores: bytes) -> OwnedPartition:
        partition = OwnedPartition(number, self._facts.of(number), set(stores))
        partition.offset_trackers = {spec.name: OffsetTracker(0) for spec in SOURCE_TOPICS}
        self.partitions[number] = partition
        return partition

    def get(self, partition: int) -> OwnedPartition | None:
        return self.partitions.get(partition)

    def complete(self, partition: OwnedPartition, topic: str, offset: int) -> None:
        partition.offset_trackers[topic].complete(offset)
        self.completed.append((partition.number, topic, offset))

    def record_applied(
        self, partition: OwnedPartition, stores: Iterable[bytes], newest_poll: int | None = None
    ) -> None:
        self.applied.append(Applied(partition.number, set(stores), newest_poll))

    def store_count(self) -> int:
        owned = sum(len(partition.stores) for partition in self.partitions.values())
        return self.other_stores + owned

    def record_removed(self, partition: OwnedPartition, stores: Collection[bytes]) -> None:
        partition.stores.difference_update(stores)
        self.removed += stores


class FakeGaps(GapSkipper):
    """Gaps whose missed records a test decides.

    Attributes:
        missed: offset of the missed record in a gap, by the offset of the record behind the gap.
        lookups: partition, topic and offset of every call of `find_missed_record`.
        on_lookup: called during each call of `find_missed_record`.
    """

    def __init__(self) -> None:
        self.missed: dict[int, int] = {}
        self.lookups: list[tuple[int, str, int]] = []
        self.on_lookup: Callable[[], None] = lambda: None

    async def find_missed_record(self, owned: OwnedPartition, topic: str, first: int) -> int | None:
        self.lookups.append((owned.number, topic, first))
        await asyncio.sleep(0)
        self.on_lookup()
        return self.missed.get(first)


class FakeAppliedOffsets(AppliedOffsets):
    """Applied offsets that have caught up when a test sets `caught_up`.

    Attributes:
        caught_up: `catch_up` returns when it is set.
        errors: raised by the next calls of `catch_up`, in order.
        waiting: number of calls that wait now.
        most_waiting: largest number of calls that waited at once.
        end_offsets: end offsets that `catch_up` returns; 0 for other source partitions.
        newest: result of `newest_poll`.
        watermarks: arguments of `advance`.
        topic_ids: results of `topic_id`.
    """

    def __init__(self) -> None:
        self.caught_up = asyncio.Event()
        self.caught_up.set()
        self.errors: list[Exception] = []
        self.calls = 0
        self.waiting = 0
        self.most_waiting = 0
        self.end_offsets: dict[TopicPartition, int] = {}
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
        empty = {
            TopicPartition(spec.name, number): 0
            for spec in SOURCE_TOPICS
            for number in range(PARTITIONS)
        }
        return empty | self.end_offsets

    def newest_poll(self) -> int | None:
        return self.newest

    def stores_elsewhere(self, _: object) -> int:
        return 0

    def advance(self, watermark: Watermark) -> None:
        self.watermarks.append(watermark)


@dataclass
class Sent:
    """A record that was passed to the producer."""

    topic: str
    value: bytes | None
    key: bytes | None
    partition: int | None
    future: asyncio.Future[Any] = field(repr=False)
    headers: Sequence[tuple[str, bytes]] = ()
    at_once: bool = False

    def acknowledge(self, offset: int = 0) -> None:
        self.future.set_result(BatchMetadata(offset, NOW))


class FakeBatches(BatchProducer):
    """Record batches of one record each, which are acknowledged by the test, or at once."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.sent: list[Sent] = []
        self.at_once = at_once
        self.error: BaseException | None = None

    def add(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Sequence[tuple[str, bytes]] = (),
        at_once: bool = False,
    ) -> Batch:
        if self.error is not None:
            raise self.error
        future = asyncio.get_running_loop().create_future()
        sent = Sent(topic, value, key, partition, future, headers, at_once)
        self.sent.append(sent)
        if self.at_once:
            sent.acknowledge(len(self.sent) - 1)
        return FakeBatch(sent.future)

    async def wait_for_capacity(self, topic: str, partition: int, most: int) -> None:
        pass

    def to(self, topic: str) -> list[Sent]:
        return [sent for sent in self.sent if sent.topic == topic]


class Harness:
    """The agents of a worker, with fakes around them.

    Args:
        owned: the stores of each partition that the worker owns.
        overrides: settings.
    """

    def __init__(self, owned: Mapping[int, Iterable[str]], **overrides: Any) -> None:
        self.settings = settings_with(**overrides)
        self.now = NOW
        self.facts = FakeFacts()
        self.owned_partitions = FakeOwnedPartitions(self.facts)
        self.publisher = RecordingPublisher()
        self.applied_offsets = FakeAppliedOffsets()
        self.commit_tracker = CommitTracker()
        self.failures = Failures()
        self.gaps = FakeGaps()
        self.metrics = WorkerMetrics()
        self.seeks: list[tuple[str, int, int]] = []
        self.latest = LatestPollPublisher(self.publisher)
        for number, stores in owned.items():
            self.owned_partitions.own(number, *map(store_key, stores))
            self.latest.adopt(number, {})
        events = EventProcessor(
            self.owned_partitions, self.commit_tracker, self.gaps, self._seek, self.failures
        )
        self.ingest = Ingest(
            self.settings,
            events,
            self.owned_partitions,
            self.publisher,
            self.latest,
            self.metrics,
        )
        self.reports = Reports(
            self.settings,
            CaughtUpFacts(self.settings, self.owned_partitions, self.applied_offsets),
            self.publisher,
            lambda: self.now,
            self.commit_tracker,
            self.failures,
        )

    async def _seek(self, partition: TopicPartition, offset: int) -> None:
        self.seeks.append((*partition, offset))

    # -- source records

    async def run(self, *events: FakeEvent, spec: TopicSpec = STORE_STATUS) -> None:
        """Pass events to the agent of a source topic, and let it run until it waits."""
        agent = {
            STORE_STATUS.name: self.ingest.polls,
            STORE_BUSINESS_HOURS.name: self.ingest.business_hours,
            STORE_TIMEZONES.name: self.ingest.timezones,
        }
        await agent[spec.name](FakeStream(events))
        await settle()

    async def deliver(
        self, *values: bytes | None, spec: TopicSpec = STORE_STATUS
    ) -> list[FakeEvent]:
        """Pass records of a source topic to its agent, one event for each."""
        events = events_of(*values, topic=spec.name)
        await self.run(*events, spec=spec)
        return events

    def fact(self, tag: bytes, store: str, partition: int = 0) -> bytes | None:
        """Return the content of the fact under a tag, without its revision."""
        return decode_fact(self.facts.get(partition, store_key(store) + tag))[1]

    def polls(self, store: str, partition: int = 0) -> array[int]:
        """Return the polls of a store in the table from 100 hours before to 100 after `NOW`."""
        layout = BucketLayout(self.settings.retention)
        first, last = NOW - 100 * HOUR, NOW + 100 * HOUR
        read = self._bucket_reader(partition, store)
        buckets = layout.buckets(first, last, ())
        contents = b"".join(to_bytes(read(bucket)) for bucket in buckets)
        return PollSets.of_bytes([contents]).between(first, last).set_of(0)

    def add_polls(self, partition: int, store: str, *polls: tuple[int, bool]) -> None:
        """Write polls to the table as ingestion does."""
        layout = BucketLayout(self.settings.retention)
        for poll in polls:
            for write in layout.writes(poll_set([poll]), self._bucket_reader(partition, store)):
                key = bucket_key(store_key(store), write.bucket)
                self.facts.content[partition, key] = to_bytes(write.polls)

    def _bucket_reader(self, partition: int, store: str) -> Callable[[Bucket], array[int]]:
        def read(bucket: Bucket) -> array[int]:
            return from_bytes(self.facts.get(partition, bucket_key(store_key(store), bucket)))

        return read

    # -- requests

    async def request(
        self, *requests: ReportRequestRecord | bytes | None, **message_fields: Any
    ) -> list[FakeEvent]:
        """Pass requests to the agent of reports, and let it run until it waits."""
        events = [
            FakeEvent(
                FakeMessage(
                    request
                    if request is None or isinstance(request, bytes)
                    else encode_request(request),
                    offset=offset,
                    **{"topic": REPORT_REQUESTS.name, **message_fields},
                )
            )
            for offset, request in enumerate(requests)
        ]
        self.stream = FakeStream(events)
        self.agent = asyncio.create_task(self.reports.requests(self.stream))
        await settle()
        return events

    async def all_answered(self) -> None:
        """Wait until no request is in flight."""
        await self.agent
        await asyncio.gather(*self.reports._tasks, return_exceptions=True)
        await settle()

    def requested_parts(self) -> list[FleetPartRequest]:
        """Return the requests for parts; each must be on its partition with the report's id."""
        parts = []
        for forwarded in self.publisher.forwarded:
            part = decode_request(forwarded.value)
            assert isinstance(part, FleetPartRequest)
            assert (forwarded.topic, forwarded.partition) == (REPORT_REQUESTS.name, part.part)
            assert forwarded.key == part.report_id
            parts.append(part)
        return parts

    def statuses(self) -> list[str]:
        return [event.status for event in self.publisher.reports]

    def reason(self) -> str:
        """Return the reason of the only report that ended, which must have failed."""
        final = self._final()
        assert final.status == "failed"
        return final.reason or ""

    def report(self) -> dict[str, Any]:
        """Return the document of the only report that ended, which must be complete."""
        final = self._final()
        assert final.status == "complete", final.reason
        assert final.report is not None
        return final.report.fields

    def _final(self) -> ReportEvent:
        (final,) = [event for event in self.publisher.reports if event.status != "running"]
        return final
