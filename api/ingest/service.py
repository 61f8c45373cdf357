"""Sends what stores report by HTTP to Kafka, or to the dead letters with a reason.

Every method returns when the broker holds what it was given, or raises in time.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from api.http.memory_budget import TokenBucket
from api.kafka.publisher import BoundedPublisher, acknowledged_at, overloaded
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.dead_letters import (
    KEPT_BYTES,
    DeadLetter,
    bounded_dead_letter,
    dead_letter_key,
)
from stream_app.contracts.polls import ahead_of_clock, before_earliest, encode_poll_batch
from stream_app.contracts.removal import encode_removal
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
)
from stream_app.errors import BrokerUnavailableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from api.metrics import ApiMetrics
    from api.stores.store_limit import StoreLimit
    from stream_app.contracts.business_hours import BusinessHours
    from stream_app.contracts.polls import Poll
    from stream_app.contracts.topics import TopicSpec
    from stream_app.kafka.batch_producer import BatchMetadata
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

DEAD_LETTERS_PER_SECOND: Final = 10.0
"""Dead letters for rejected bodies in the long run; an attacker must not push out other ones."""

DEAD_LETTERS_AT_ONCE: Final = 1_000.0

DEAD_LETTER_BYTES: Final = 64 << 10
"""Bytes of a rejected body that count as one more dead letter."""

LOGGED_CHARACTERS: Final = 200
"""Characters of a path or of a reason in a line of the log."""

POLL_BYTES: Final = 320
"""Bytes that a poll costs until it is acknowledged: its share of a record, its waiters."""


class IngestService:
    """Sends polls, hours and timezones to Kafka, and dead letters for rejected input.

    Args:
        settings: the tolerance.
        clock: the wall clock in µs.
        publisher: what sends.
        require: raises without a connection.
        limit: says whether there is a place for a store that is new.
        metrics: counts polls and dead letters.

    Attributes:
        clock: as given.
        limit: as given.
        polls_counted: how many polls were accepted, and how many refused.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], int],
        publisher: BoundedPublisher,
        require: Callable[[], None],
        limit: StoreLimit,
        metrics: ApiMetrics,
    ) -> None:
        self.clock = clock
        self.polls_counted = metrics.polls
        self._metrics = metrics
        self._letters = TokenBucket(DEAD_LETTERS_PER_SECOND, DEAD_LETTERS_AT_ONCE)
        self._earliest = settings.earliest_poll
        self._tolerance = settings.future_tolerance
        self._publisher = publisher
        self._require = require
        self.limit = limit

    async def stop(self, patience: float) -> None:
        """Wait until the records in flight are acknowledged, for at most `patience` seconds."""
        await self._publisher.drain(patience)

    def ill_dated(self, instant: int, clock: int | None = None) -> str | None:
        """Return the reason why a poll's time is refused; None: it is not.

        Args:
            instant: of the poll, µs.
            clock: what it must not be too far ahead of: the broker's clock; None: ours.
        """
        return before_earliest(instant, self._earliest) or ahead_of_clock(
            instant, self.clock() if clock is None else clock, self._tolerance
        )

    async def poll(self, store_id: str, poll: Poll) -> str | None:
        """Take one poll that is not ahead of our clock.

        Returns:
            why it is refused by the broker's clock, in which case the worker keeps it as a dead
            letter; None: it is accepted.

        Raises:
            OverloadedError: as much is waiting as may wait.
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        self.check(store_id)
        self.limit.check(store_id)
        if not self._publisher.budget.try_acquire(POLL_BYTES):
            raise overloaded()
        append_time = await acknowledged_at(self._begin(store_id, [poll]))
        reason = self.ill_dated(poll[0], append_time)
        if reason is None:
            self.polls_counted.accepted += 1
        else:
            self.polls_counted.refused += 1
        return reason

    def check(self, store_id: str) -> None:
        """Raise an error unless polls of a store can be sent.

        Raises:
            BrokerUnavailableError: not now.
        """
        self._require()
        self._publisher.check(STORE_STATUS, store_id.encode())

    async def polls(
        self, by_store: Mapping[str, list[Poll]]
    ) -> list[asyncio.Future[BatchMetadata]]:
        """Send polls of many stores that are not ahead of our clock; wait a while for room.

        Args:
            by_store: the polls of each store, at most as many as fit a record.

        Returns:
            a future for each store, in the order of the mapping; wait for it with
            `acknowledged_at`. The append time says whether a poll is ahead of the broker's clock.

        Raises:
            OverloadedError: as much is waiting as may wait; nothing was sent.
            BrokerUnavailableError: nothing was sent.
        """
        for store_id in by_store:
            self.check(store_id)
        left = POLL_BYTES * sum(map(len, by_store.values()))
        await self._publisher.reserve(left)
        sent = []
        try:
            for store_id, polls in by_store.items():
                left -= POLL_BYTES * len(polls)
                sent.append(self._begin(store_id, polls))
        except BrokerUnavailableError:
            # the connection was lost while there was no room: none was accepted, not even the first
            self._publisher.budget.release(left)
            raise
        return sent

    async def hours(self, store_id: str, hours: BusinessHours) -> None:
        """Replace a store's business hours.

        Raises:
            OverloadedError: as much is waiting as may wait.
            TooManyStoresError: the store is new, and there are too many.
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        self._require()
        self.limit.check(store_id)
        await self._publish(STORE_BUSINESS_HOURS, store_id, encode_hours(store_id, hours.rows))

    async def timezone(self, store_id: str, timezone: str) -> None:
        """Replace a store's zone.

        Raises:
            OverloadedError: as much is waiting as may wait.
            TooManyStoresError: the store is new, and there are too many.
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        self._require()
        self.limit.check(store_id)
        await self._publish(STORE_TIMEZONES, store_id, encode_timezone(store_id, timezone))

    async def remove(self, store_id: str) -> None:
        """Remove all input of a store: hours, timezone and polls.

        Raises:
            OverloadedError: as much is waiting as may wait.
            BrokerUnavailableError: the broker did not acknowledge all of it in time; some of it
                may be removed.
        """
        self._require()
        key = store_id.encode()
        sent = [
            self._publisher.send(STORE_BUSINESS_HOURS, key, None),
            self._publisher.send(STORE_TIMEZONES, key, None),
            self._publisher.send(STORE_STATUS, key, encode_removal(store_id)),
        ]
        for one in sent:
            await acknowledged_at(one)

    async def refuse(
        self, path: str, reason: str, original: bytes, *, truncated: bool = False
    ) -> bool:
        """Write a dead letter for a body that is rejected as a whole, or for its beginning.

        Returns:
            whether it is written: not all are, where too many come.

        Raises:
            OverloadedError: as much is waiting as may wait.
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        source: dict[str, str | int] = {"http": str(uuid4()), "path": path}
        whole = len(original) <= KEPT_BYTES and not truncated
        return await self.write_dead_letter(
            DeadLetter(source, reason, original[:KEPT_BYTES], truncated=not whole)
        )

    async def write_dead_letter(self, dead_letter: DeadLetter) -> bool:
        """Write a dead letter for a body of which nothing, or hardly anything, was accepted.

        Returns:
            whether it is written: not all are, where too many come.

        Raises:
            OverloadedError: as much is waiting as may wait.
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        self._require()
        if not self._letters.try_acquire(1 + len(dead_letter.original or b"") / DEAD_LETTER_BYTES):
            self._metrics.letters_not_kept += 1
            return False
        log.info(
            "refused %s: %s", dead_letter.source["path"], dead_letter.reason[:LOGGED_CHARACTERS]
        )
        await acknowledged_at(self._publisher.send(DEAD_LETTERS, *self._record_of(dead_letter)))
        return True

    async def send_dead_letter(self, dead_letter: DeadLetter) -> asyncio.Future[BatchMetadata]:
        """Send a dead letter for one rejected item of a body; wait a while for room.

        Returns:
            its future; wait for it with `acknowledged_at`.

        Raises:
            OverloadedError: as much is waiting as may wait.
            BrokerUnavailableError: the broker is out of reach.
        """
        self._require()
        return await self._publisher.send_when_room(DEAD_LETTERS, *self._record_of(dead_letter))

    def _record_of(self, dead_letter: DeadLetter) -> tuple[bytes, bytes]:
        self._metrics.dead_letters.count(dead_letter)
        return dead_letter_key(dead_letter), bounded_dead_letter(dead_letter)

    async def _publish(self, topic: TopicSpec, store_id: str, value: bytes) -> None:
        self._require()
        await acknowledged_at(self._publisher.send(topic, store_id.encode(), value))

    def _begin(self, store_id: str, polls: list[Poll]) -> asyncio.Future[BatchMetadata]:
        value = encode_poll_batch(store_id, polls)
        cost = POLL_BYTES * len(polls)
        return self._publisher.send_reserved(STORE_STATUS, store_id.encode(), value, cost)
