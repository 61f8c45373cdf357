"""Consumes the topic of webhooks: each API process delivers those of the partitions that it owns.

The webhooks of a partition run at the same time, so that a slow one delays no other, and are
committed in order. An offset is committed when all webhooks below it are delivered or given up; the
metadata of the commit says which of the later ones are so too (`ResumableOffsetTracker`). A webhook
that is not committed is delivered again, also after a crash: at least once.

A webhook whose receiver is at its limit (`ConcurrencyLimiter`) stays in Kafka, its offset is not
complete, and a second consumer reads it again once the receiver has room.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from traceback import format_tb
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from api.kafka.shutdown import bounded
from api.webhooks.allowlist import receiver_of
from api.webhooks.concurrency import ConcurrencyLimiter
from api.webhooks.webhook_topic import WebhookTopic
from stream_app.contracts.dead_letters import DeadLetter
from stream_app.contracts.topics import WEBHOOKS
from stream_app.contracts.webhooks import decode_webhook
from stream_app.errors import BrokerUnavailableError, RecordError
from stream_app.kafka.clients import start
from stream_app.kafka.offset_tracker import ResumableOffsetTracker
from stream_app.kafka.safe_records import UnreadableRecords, last_offset, source_of
from stream_app.periodic import PeriodicTask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator

    from api.webhooks.concurrency import Deferred
    from stream_app.contracts.webhooks import Webhook
    from stream_app.settings import Settings


log = logging.getLogger(__name__)

MAX_IN_FLIGHT: Final = 10_000
"""Webhooks that one process tries to deliver, or whose report it waits for, at once."""

_FETCHED: Final = 500
_FETCH_MS: Final = 250
_RETRY_SECONDS: Final = 1.0
_DEFERRED_CHECK_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Owned:
    """An owned partition.

    Attributes:
        tracker: knows which offsets are complete.
        committed: the offset and the metadata of the last commit.
        running: the tasks of the webhooks that run.
    """

    tracker: ResumableOffsetTracker
    committed: tuple[int, str]
    running: set[asyncio.Task[None]] = field(default_factory=set)


class WebhookConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Consumes webhooks as a member of a group, and runs each until it is delivered or given up.

    Args:
        settings: how to reach the broker.
        run: delivers a webhook; returns why it was given up, or None.
        dead_letter: writes a dead letter; returns when the broker has it.
        ready: returns whether the API is connected, and has read the other topics to their ends.
        topic: reads the webhooks and the commits; None for the topic of the settings.
        limiter: limits how many webhooks run.
    """

    def __init__(
        self,
        settings: Settings,
        run: Callable[[Webhook], Awaitable[str | None]],
        dead_letter: Callable[[DeadLetter], Awaitable[None]],
        ready: Callable[[], bool],
        topic: WebhookTopic | None = None,
        limiter: ConcurrencyLimiter | None = None,
    ) -> None:
        self._settings = settings
        self._run = run
        self._dead_letter = dead_letter
        self._is_ready = ready
        self._topic = topic or WebhookTopic(settings)
        self.limiter = limiter or ConcurrencyLimiter(MAX_IN_FLIGHT)
        self._receiver_has_room = asyncio.Event()
        self._consumer: Any = None
        self._owned: dict[TopicPartition, _Owned] = {}
        self._generation = 0
        # without a pause, since a step itself waits for records, or for a receiver with room
        self._reading_task = PeriodicTask("webhooks", 0.0, self._read, retry_seconds=_RETRY_SECONDS)
        self._resuming_task = PeriodicTask(
            "deferred-webhooks", 0.0, self._resume_deferred, retry_seconds=_RETRY_SECONDS
        )

    @property
    def in_flight(self) -> int:
        """Return the number of webhooks that run."""
        return sum(len(owned.running) for owned in self._owned.values())

    async def start(self) -> None:
        """Start to consume; returns at once."""
        self._reading_task.start()
        self._resuming_task.start()

    async def stop(self) -> None:
        """Cancel the running webhooks, commit the complete ones, and leave the group."""
        await self._reading_task.stop()
        await self._resuming_task.stop()
        await self._disconnect()
        await bounded(self._topic.stop(), "webhooks")

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Cancel and commit: another process may own the partitions in a moment."""
        self._generation += 1
        await self._revoke(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Do nothing: the commits of a partition are read when its first record comes."""

    async def _read(self) -> None:
        """Read some webhooks and start them; after an error, the next call connects again."""
        if self._consumer is None and not self._is_ready():
            await asyncio.sleep(_RETRY_SECONDS)
            return
        try:
            with _retried("webhooks"):
                await self._read_once()
        except Exception:
            await self._disconnect()
            raise

    async def _read_once(self) -> None:
        if self._consumer is None:
            self._consumer = self._topic.new_consumer()
            self._consumer.subscribe([WEBHOOKS.name], listener=self)
            await start(self._consumer, self._settings)
        fetched = await self._consumer.getmany(timeout_ms=_FETCH_MS, max_records=_FETCHED)
        # these records are of partitions that this process owns at this moment
        generation = self._generation
        adopted = await self._load_committed(fetched.keys() - self._owned.keys())
        if generation != self._generation:
            # partitions moved meanwhile: their owners now read these records again
            return
        self._owned |= adopted
        for partition, records in fetched.items():
            for record in records:
                self._accept(self._owned[partition], record)
        await self._commit(self._owned)

    async def _load_committed(
        self, partitions: set[TopicPartition]
    ) -> dict[TopicPartition, _Owned]:
        if not partitions:
            return {}
        known = await self._topic.committed(sorted(partitions))
        return {
            partition: _Owned(ResumableOffsetTracker(*known[partition]), known[partition])
            for partition in partitions
        }

    def _accept(self, owned: _Owned, record: Any) -> None:
        offset = last_offset(record)
        if not owned.tracker.start(offset):
            return
        try:
            webhook = _webhook_in(record)
        except RecordError as error:
            self._start_task(owned, offset, self._complete(owned, record, str(error)))
            return
        receiver = receiver_of(webhook.url)
        partition = TopicPartition(record.topic, record.partition)
        if self.limiter.acquire(receiver):
            self._start_webhook(owned, record, webhook, receiver)
        elif not self.limiter.defer(receiver, partition, offset):
            reason = f"more webhooks wait for {receiver} than can: is it down?"
            self._start_task(owned, offset, self._complete(owned, record, reason))

    def _start_webhook(self, owned: _Owned, record: Any, webhook: Webhook, receiver: str) -> None:
        """Start a webhook that the limiter has admitted."""
        task = self._start_task(owned, last_offset(record), self._deliver(owned, record, webhook))
        # this also runs for a task that is cancelled before its first step
        task.add_done_callback(lambda _: self._release(receiver))

    def _start_task(
        self, owned: _Owned, offset: int, work: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"webhook-{offset}")
        owned.running.add(task)
        task.add_done_callback(owned.running.discard)
        return task

    def _release(self, receiver: str) -> None:
        self.limiter.release(receiver)
        if self.limiter.can_resume(receiver):
            self._receiver_has_room.set()

    async def _deliver(self, owned: _Owned, record: Any, webhook: Webhook) -> None:
        """Deliver a webhook, or write its dead letter."""
        try:
            reason = await self._run(webhook)
        except Exception as error:  # noqa: BLE001  it is logged below
            # the text of the error might have the URL, whose path may be a secret
            log.error(  # noqa: TRY400  for the same reason
                "%s/%d/%d: %s\n%s",
                record.topic,
                record.partition,
                record.offset,
                type(error).__name__,
                "".join(format_tb(error.__traceback__)),
            )
            reason = f"internal error: {type(error).__name__}"
        await self._complete(owned, record, reason)

    async def _complete(self, owned: _Owned, record: Any, reason: str | None) -> None:
        if reason is not None:
            await self._write_dead_letter(record, reason)
        owned.tracker.complete(last_offset(record))

    async def _resume_deferred(self) -> None:
        """Wait until a receiver has room, and run the deferred webhooks that may run now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DEFERRED_CHECK_SECONDS):
                await self._receiver_has_room.wait()
        self._receiver_has_room.clear()
        with _retried("deferred webhooks"):
            for receiver, deferred in self.limiter.admit_deferred():
                await self._read_deferred(receiver, deferred)

    async def _read_deferred(self, receiver: str, deferred: list[Deferred]) -> None:
        """Read webhooks again that the limiter has admitted, and start them."""
        offsets: defaultdict[TopicPartition, list[int]] = defaultdict(list)
        for partition, offset in deferred:
            offsets[partition].append(offset)
        owners = {partition: self._owned.get(partition) for partition in offsets}
        try:
            while offsets:
                partition = next(iter(offsets))
                owned = owners[partition]
                records: dict[int, Any] = {}
                if owned is not None:
                    records = await self._topic.read(partition, offsets[partition])
                self._start_deferred(receiver, partition, owned, offsets.pop(partition), records)
        finally:
            for partition, remaining in offsets.items():
                if (
                    owners[partition] is not None
                    and self._owned.get(partition) is owners[partition]
                ):
                    self.limiter.put_back(receiver, [(partition, offset) for offset in remaining])
                else:
                    self._release_all(receiver, remaining)

    def _start_deferred(
        self,
        receiver: str,
        partition: TopicPartition,
        owned: _Owned | None,
        offsets: list[int],
        records: dict[int, Any],
    ) -> None:
        if owned is None or self._owned.get(partition) is not owned:
            # the partition has moved: its present owner reads them
            self._release_all(receiver, offsets)
            return
        for offset in offsets:
            record = records.get(offset)
            if record is None:
                log.error(
                    "webhook %d/%d is lost: the log deleted it before %s had room for it",
                    partition.partition,
                    offset,
                    receiver,
                )
                owned.tracker.complete(offset)
                self.limiter.release(receiver)
            else:
                self._start_webhook(owned, record, _webhook_in(record), receiver)

    def _release_all(self, receiver: str, offsets: list[int]) -> None:
        for _ in offsets:
            self.limiter.release(receiver)

    async def _write_dead_letter(self, record: Any, reason: str) -> None:
        log.warning("webhook %d/%d is given up: %s", record.partition, record.offset, reason)
        dead_letter = DeadLetter(source_of(record), reason, record.value, record.key)
        while True:
            try:
                await self._dead_letter(dead_letter)
            except BrokerUnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _revoke(self, partitions: Iterable[TopicPartition]) -> None:
        revoked = {p: self._owned[p] for p in partitions if p in self._owned}
        for partition in revoked:
            self.limiter.drop_partition(partition)
        running = {task for owned in revoked.values() for task in owned.running}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        await self._commit(revoked)
        for partition in revoked:
            self._owned.pop(partition, None)

    async def _commit(self, partitions: dict[TopicPartition, _Owned]) -> None:
        consumer = self._consumer
        if consumer is None:
            return
        assigned = consumer.assignment()
        due = [
            (partition, owned, (owned.tracker.position, owned.tracker.metadata))
            for partition, owned in partitions.items()
            if partition in assigned
        ]
        due = [entry for entry in due if entry[2] != entry[1].committed]
        if not due:
            return
        try:
            await consumer.commit({partition: commit for partition, _, commit in due})
        except KafkaError as error:
            # webhooks that are not committed are read again
            log.warning("webhooks that are done cannot be committed now: %r", error)
            return
        for _, owned, commit in due:
            owned.committed = commit

    async def _disconnect(self) -> None:
        consumer = self._consumer
        if consumer is None:
            return
        await bounded(self._revoke(list(self._owned)), "webhooks")
        self._owned.clear()
        self._consumer = None
        await bounded(consumer.stop(), "webhooks")


@contextmanager
def _retried(what: str) -> Iterator[None]:
    """Log an error of Kafka in one line, and raise an error after which a task tries again.

    Raises:
        BrokerUnavailableError: Kafka could not be read.
    """
    try:
        yield
    except (KafkaError, BrokerUnavailableError) as error:
        log.warning("%s cannot be read now, trying again: %s", what, error)
        raise BrokerUnavailableError(str(error)) from error


def _webhook_in(record: Any) -> Webhook:
    """Decode the webhook in a record.

    Raises:
        RecordError: the record has no webhook that can be used.
    """
    if isinstance(record, UnreadableRecords):
        raise RecordError(record.reason)
    webhook = decode_webhook(record.value)
    # with a time in the future, a webhook would be tried for longer
    requested_at = min(webhook.requested_at, record.timestamp * 1000)
    return replace(webhook, requested_at=requested_at)
