"""The API processes share the webhooks: each runs those of the partitions that it owns.

A partition's webhooks run side by side, so that a late one holds no other up, and are committed
in order: an offset only when all below it are delivered or given up, and with it which ones
beyond it are (`ResumableOffsetTracker`). What was not committed comes again, after a crash too,
and is delivered again: at least once.

A webhook whose place has had its share of the room (`shares`) stays in Kafka, its offset open, and
is read again by another consumer once the place has room.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from traceback import format_tb
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from api.kafka.shutdown import bounded
from api.webhooks.allowlist import place_of
from api.webhooks.concurrency import Shares
from api.webhooks.webhook_topic import WebhookTopic
from stream_app.contracts.dead_letters import DeadLetter
from stream_app.contracts.topics import WEBHOOKS
from stream_app.contracts.webhooks import decode_webhook
from stream_app.errors import BrokerUnavailableError, RecordError
from stream_app.kafka.clients import start
from stream_app.kafka.offset_tracker import ResumableOffsetTracker
from stream_app.kafka.safe_records import UnreadableRecords, last_offset, source_of
from stream_app.periodic import cancel_tasks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from api.webhooks.concurrency import Waiting
    from stream_app.contracts.webhooks import Webhook
    from stream_app.settings import Settings


log = logging.getLogger(__name__)

MAX_IN_FLIGHT: Final = 10_000
"""Webhooks that wait for their report's end or are tried in one process."""

_FETCHED: Final = 500
_FETCH_MS: Final = 250
_RETRY_SECONDS: Final = 1.0
_DEFERRED_CHECK_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Owned:
    """A partition: how far it is finished with, what of that is committed, and what runs."""

    tracker: ResumableOffsetTracker
    committed: tuple[int, str]
    running: set[asyncio.Task[None]] = field(default_factory=set)


class WebhookConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Takes webhooks from their topic and has each run to its end.

    Args:
        settings: how to reach the broker.
        run: runs one; returns why it was given up, None where it was not.
        dead_letter: writes a dead letter; returns when the broker has it.
        ready: whether the API has read all that the other topics say.
        topic: reads the webhooks and the commits; None: that of the settings.
        shares: limits how many run.
    """

    def __init__(
        self,
        settings: Settings,
        run: Callable[[Webhook], Awaitable[str | None]],
        dead_letter: Callable[[DeadLetter], Awaitable[None]],
        ready: Callable[[], bool],
        topic: WebhookTopic | None = None,
        shares: Shares | None = None,
    ) -> None:
        self._settings = settings
        self._run = run
        self._dead_letter = dead_letter
        self._ready = ready
        self._topic = topic or WebhookTopic(settings)
        self.shares = shares or Shares(MAX_IN_FLIGHT)
        self._room = asyncio.Event()
        self._consumer: Any = None
        self._owned: dict[TopicPartition, _Owned] = {}
        self._generation = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """Return the number of webhooks that run."""
        return sum(len(owned.running) for owned in self._owned.values())

    async def start(self) -> None:
        """Start; returns at once."""
        self._tasks = {
            asyncio.create_task(self._work(), name="webhooks"),
            asyncio.create_task(self._resume_deferred(), name="webhooks-deferred"),
        }

    async def stop(self) -> None:
        """Cancel what runs, commit what is complete, and leave the group."""
        await cancel_tasks(self._tasks)
        await self._disconnect()
        await bounded(self._topic.stop(), "webhooks")

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Give partitions up: another process may own them in a moment."""
        self._generation += 1
        await self._revoke(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Do nothing: a partition's committed offset is looked up when its first record comes."""

    async def _work(self) -> None:
        while True:
            if self._ready():
                try:
                    await self._serve()
                except (KafkaError, BrokerUnavailableError) as error:
                    log.warning("webhooks cannot be read now, trying again: %s", error)
                except Exception:
                    log.exception("webhooks, trying again")
                await self._disconnect()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _serve(self) -> None:
        consumer = self._consumer = self._topic.new_consumer()
        consumer.subscribe([WEBHOOKS.name], listener=self)
        await start(consumer, self._settings)
        while True:
            fetched = await consumer.getmany(timeout_ms=_FETCH_MS, max_records=_FETCHED)
            # what it returns is of the partitions that are ours at this moment
            generation = self._generation
            adopted = await self._load_committed(fetched.keys() - self._owned.keys())
            if generation != self._generation:
                # partitions moved meanwhile: their new owner reads the records again
                continue
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
        place = place_of(webhook.url)
        partition = TopicPartition(record.topic, record.partition)
        if self.shares.enter(place):
            self._run_one(owned, record, webhook, place)
        elif not self.shares.wait(place, partition, offset):
            reason = f"more webhooks wait for {place} than can: is it down?"
            self._start_task(owned, offset, self._complete(owned, record, reason))

    def _run_one(self, owned: _Owned, record: Any, webhook: Webhook, place: str) -> None:
        """Run a webhook whose room is taken."""
        task = self._start_task(owned, last_offset(record), self._deliver(owned, record, webhook))
        # also where it is cancelled before its first step
        task.add_done_callback(lambda _: self._leave(place))

    def _start_task(
        self, owned: _Owned, offset: int, work: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"webhook-{offset}")
        owned.running.add(task)
        task.add_done_callback(owned.running.discard)
        return task

    def _leave(self, place: str) -> None:
        self.shares.leave(place)
        if self.shares.has_room(place):
            self._room.set()

    async def _deliver(self, owned: _Owned, record: Any, webhook: Webhook) -> None:
        """Run a webhook to its end."""
        try:
            reason = await self._run(webhook)
        except Exception as error:  # noqa: BLE001  said below
            # without its text, which might have the URL: its path may be a secret
            log.error(  # noqa: TRY400  as above
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
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_DEFERRED_CHECK_SECONDS):
                    await self._room.wait()
            self._room.clear()
            try:
                for place, waiting in self.shares.admit_waiting():
                    await self._read_deferred(place, waiting)
            except (KafkaError, BrokerUnavailableError) as error:
                log.warning("webhooks that wait cannot be read now, trying again: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:
                log.exception("webhooks that wait, trying again")
                await asyncio.sleep(_RETRY_SECONDS)

    async def _read_deferred(self, place: str, waiting: list[Waiting]) -> None:
        """Read webhooks again whose room is taken, and run them."""
        offsets: defaultdict[TopicPartition, list[int]] = defaultdict(list)
        for partition, offset in waiting:
            offsets[partition].append(offset)
        owners = {partition: self._owned.get(partition) for partition in offsets}
        try:
            while offsets:
                partition = next(iter(offsets))
                owned = owners[partition]
                records: dict[int, Any] = {}
                if owned is not None:
                    records = await self._topic.read(partition, offsets[partition])
                self._run_deferred(place, partition, owned, offsets.pop(partition), records)
        finally:
            for partition, left in offsets.items():
                if (
                    owners[partition] is not None
                    and self._owned.get(partition) is owners[partition]
                ):
                    self.shares.put_back(place, [(partition, offset) for offset in left])
                else:
                    self._release_all(place, left)

    def _run_deferred(
        self,
        place: str,
        partition: TopicPartition,
        owned: _Owned | None,
        offsets: list[int],
        records: dict[int, Any],
    ) -> None:
        if owned is None or self._owned.get(partition) is not owned:
            # it moved meanwhile: its new owner has read them
            self._release_all(place, offsets)
            return
        for offset in offsets:
            record = records.get(offset)
            if record is None:
                log.error(
                    "webhook %d/%d is lost: the log deleted it before %s had room for it",
                    partition.partition,
                    offset,
                    place,
                )
                owned.tracker.complete(offset)
                self.shares.leave(place)
            else:
                self._run_one(owned, record, _webhook_in(record), place)

    def _release_all(self, place: str, offsets: list[int]) -> None:
        for _ in offsets:
            self.shares.leave(place)

    async def _write_dead_letter(self, record: Any, reason: str) -> None:
        log.warning("webhook %d/%d is given up: %s", record.partition, record.offset, reason)
        letter = DeadLetter(source_of(record), reason, record.value, record.key)
        while True:
            try:
                await self._dead_letter(letter)
            except BrokerUnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _revoke(self, partitions: Iterable[TopicPartition]) -> None:
        gone = {place: self._owned[place] for place in partitions if place in self._owned}
        for place in gone:
            self.shares.forget(place)
        running = {task for owned in gone.values() for task in owned.running}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        await self._commit(gone)
        for place in gone:
            self._owned.pop(place, None)

    async def _commit(self, partitions: dict[TopicPartition, _Owned]) -> None:
        consumer = self._consumer
        if consumer is None:
            return
        held = consumer.assignment()
        due = [
            (place, owned, (owned.tracker.position, owned.tracker.metadata))
            for place, owned in partitions.items()
            if place in held
        ]
        due = [entry for entry in due if entry[2] != entry[1].committed]
        if not due:
            return
        try:
            await consumer.commit({place: commit for place, _, commit in due})
        except KafkaError as error:
            # what is not committed comes again
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


def _webhook_in(record: Any) -> Webhook:
    """Return the webhook in a record.

    Raises:
        RecordError: there is none that can be used.
    """
    if isinstance(record, UnreadableRecords):
        raise RecordError(record.reason)
    webhook = decode_webhook(record.value)
    # nobody can put the end of its patience off
    asked_at = min(webhook.requested_at, record.timestamp * 1000)
    return replace(webhook, requested_at=asked_at)
