"""The API processes share the webhooks: each runs those of the partitions that it owns.

A partition's webhooks run side by side, so that a late one holds no other up, and are committed
in order: an offset only when all below it are delivered or given up, and with it which ones
beyond it are (`ledger`). What was not committed comes again, after a crash too, and is
delivered again: at least once.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from api.ending import bounded, cancel
from api.webhooks.ledger import Ledger
from stream_app.contracts.records import DeadLetter
from stream_app.contracts.topics import WEBHOOKS, WEBHOOKS_GROUP
from stream_app.contracts.webhooks import decode_webhook
from stream_app.errors import BrokerUnavailableError, RecordError
from stream_app.kafka.clients import connection, safe_consumer, start
from stream_app.kafka.safe_records import UnreadableRecords, last_offset, source_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from aiokafka import TopicPartition

    from stream_app.contracts.webhooks import Webhook
    from stream_app.settings import Settings

    LookUp = Callable[
        [Settings, Sequence[TopicPartition]], Awaitable[dict[TopicPartition, tuple[int, str]]]
    ]

log = logging.getLogger(__name__)

MAX_IN_HAND: Final = 10_000
"""Webhooks that wait or are tried in one process; further ones stay in Kafka."""

_FETCH_MS: Final = 250
_RETRY_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Owned:
    """A partition: how far it is finished with, what of that is committed, and what runs."""

    ledger: Ledger
    committed: tuple[int, str]
    running: set[asyncio.Task[None]] = field(default_factory=set)


class Courier(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Takes webhooks from their topic and has each run to its end.

    Args:
        settings: how to reach the broker.
        run: runs one; returns why it was given up, None where it was not.
        bury: keeps a dead letter; returns when the broker holds it.
        ready: whether the API has read all that the other topics say.
        new_consumer: makes the client that reads.
        look_up: tells what is committed for partitions: offset and text.
        most: how many run at once.
    """

    def __init__(
        self,
        settings: Settings,
        run: Callable[[Webhook], Awaitable[str | None]],
        bury: Callable[[DeadLetter], Awaitable[None]],
        ready: Callable[[], bool],
        new_consumer: Callable[[Settings], Any] | None = None,
        look_up: LookUp | None = None,
        most: int = MAX_IN_HAND,
    ) -> None:
        self._settings = settings
        self._run = run
        self._bury = bury
        self._ready = ready
        self._new_consumer = new_consumer or _consumer
        self._look_up = look_up or _committed
        self._most = most
        self._consumer: Any = None
        self._owned: dict[TopicPartition, _Owned] = {}
        self._moves = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def in_hand(self) -> int:
        """How many webhooks run."""
        return sum(len(owned.running) for owned in self._owned.values())

    async def start(self) -> None:
        """Begin; returns at once."""
        self._task = asyncio.create_task(self._work(), name="webhooks")

    async def stop(self) -> None:
        """Let go of what runs, commit what is finished, and leave the group."""
        if self._task is not None:
            await cancel({self._task})
        await self._disconnect()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Another process may own them in a moment: what is unfinished starts again there."""
        self._moves += 1
        await self._let_go(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Nothing: what is committed of a partition is looked up when its first record comes."""

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
        consumer = self._consumer = self._new_consumer(self._settings)
        consumer.subscribe([WEBHOOKS.name], listener=self)
        await start(consumer, self._settings)
        while True:
            room = self._most - self.in_hand
            # still asked, so that it is known to live
            (consumer.resume if room > 0 else consumer.pause)(*consumer.assignment())
            fetched = await consumer.getmany(timeout_ms=_FETCH_MS, max_records=max(room, 1))
            # what it returns is of the partitions that are ours at this moment
            moves = self._moves
            found = await self._adopted(fetched.keys() - self._owned.keys())
            if moves != self._moves:
                # partitions moved meanwhile: whoever has these now reads them again
                continue
            self._owned |= found
            for partition, records in fetched.items():
                for record in records:
                    self._take(self._owned[partition], record)
            await self._commit(self._owned)

    async def _adopted(self, partitions: set[TopicPartition]) -> dict[TopicPartition, _Owned]:
        if not partitions:
            return {}
        known = await self._look_up(self._settings, sorted(partitions))
        return {
            partition: _Owned(Ledger(*known[partition]), known[partition])
            for partition in partitions
        }

    def _take(self, owned: _Owned, record: Any) -> None:
        if not owned.ledger.begin(last_offset(record)):
            return
        task = asyncio.create_task(self._finish(owned, record), name=f"webhook-{record.offset}")
        owned.running.add(task)
        task.add_done_callback(owned.running.discard)

    async def _finish(self, owned: _Owned, record: Any) -> None:
        if isinstance(record, UnreadableRecords):
            reason: str | None = record.reason
        else:
            reason = await self._outcome(record)
        if reason is not None:
            await self._give_up(record, reason)
        owned.ledger.finish(last_offset(record))

    async def _outcome(self, record: Any) -> str | None:
        """Run a webhook to its end; why it was given up, None where it was not."""
        try:
            webhook = decode_webhook(record.value)
            # nobody can put the end of its patience off
            asked_at = min(webhook.requested_at, record.timestamp * 1000)
            return await self._run(replace(webhook, requested_at=asked_at))
        except RecordError as error:
            return str(error)
        except Exception as error:
            log.exception("%s/%d/%d", record.topic, record.partition, record.offset)
            return f"internal error: {error!r}"

    async def _give_up(self, record: Any, reason: str) -> None:
        log.warning("webhook %d/%d is given up: %s", record.partition, record.offset, reason)
        letter = DeadLetter(source_of(record), reason, record.value, record.key)
        while True:
            try:
                await self._bury(letter)
            except BrokerUnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _let_go(self, partitions: Iterable[TopicPartition]) -> None:
        gone = {place: self._owned[place] for place in partitions if place in self._owned}
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
            (place, owned, (owned.ledger.offset, owned.ledger.text))
            for place, owned in partitions.items()
            if place in held
        ]
        due = [(place, owned, told) for place, owned, told in due if told != owned.committed]
        if not due:
            return
        try:
            await consumer.commit({place: told for place, _, told in due})
        except KafkaError as error:
            # what is not committed comes again
            log.warning("webhooks that are done cannot be committed now: %r", error)
            return
        for _, owned, told in due:
            owned.committed = told

    async def _disconnect(self) -> None:
        consumer = self._consumer
        if consumer is None:
            return
        await bounded(self._let_go(list(self._owned)), "webhooks")
        self._owned.clear()
        self._consumer = None
        await bounded(consumer.stop(), "webhooks")


def _consumer(settings: Settings) -> Any:
    return safe_consumer(
        settings,
        group_id=WEBHOOKS_GROUP,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )


async def _committed(
    settings: Settings, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, tuple[int, str]]:
    """What is committed, offset and text; the consumer itself tells the offset alone.

    Raises:
        BrokerUnavailableError: no broker answers.
        KafkaError: likewise.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    await start(admin, settings)
    try:
        found = await admin.list_consumer_group_offsets(WEBHOOKS_GROUP, partitions=list(partitions))
    finally:
        await admin.close()
    return {
        # where nothing is committed the offset is -1
        partition: (max(found[partition].offset, 0), found[partition].metadata or "")
        for partition in partitions
    }
