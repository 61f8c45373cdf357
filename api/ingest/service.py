"""Facts that stores report by HTTP: to Kafka, or to the dead letters with a reason.

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
from stream_app.contracts.stores import encode_zone
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

LETTERS_PER_SECOND: Final = 10.0
"""Refused bodies that are kept, in the long run; an attacker must not push out those of others."""

LETTERS_AT_ONCE: Final = 1_000.0

LETTER_BYTES: Final = 64 << 10
"""Of a refused body, that count as one more letter."""

LOGGED_CHARACTERS: Final = 200
"""Of a path or a reason in a line of the log."""

POLL_BYTES: Final = 320
"""What a poll costs of the budget until it is acknowledged: its share of a record, who waits."""


class IngestService:
    """Takes polls, hours and zones, and keeps what is refused.

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
        self._letters = TokenBucket(LETTERS_PER_SECOND, LETTERS_AT_ONCE)
        self._earliest = settings.earliest_poll
        self._tolerance = settings.future_tolerance
        self._publisher = publisher
        self._require = require
        self.limit = limit

    async def stop(self, patience: float) -> None:
        """Wait for what is under way, for so many seconds at most."""
        await self._publisher.drain(patience)

    def ill_dated(self, instant: int, clock: int | None = None) -> str | None:
        """Why a poll's time is refused; None: it is not.

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
        taken = await acknowledged_at(self._begin(store_id, [poll]))
        reason = self.ill_dated(poll[0], taken)
        if reason is None:
            self.polls_counted.accepted += 1
        else:
            self.polls_counted.refused += 1
        return reason

    def check(self, store_id: str) -> None:
        """Whether polls of a store can be taken at all.

        Raises:
            BrokerUnavailableError: not now.
        """
        self._require()
        self._publisher.check(STORE_STATUS, store_id.encode())

    async def polls(
        self, by_store: Mapping[str, list[Poll]]
    ) -> list[asyncio.Future[BatchMetadata]]:
        """Take polls of many stores that are not ahead of our clock, waiting a while for room.

        Args:
            by_store: of each store no more than one record takes.

        Returns:
            what becomes of each store's, in the order of the mapping; for `outcome`. The append
            time says whether a poll is ahead of the broker's clock.

        Raises:
            OverloadedError: as much is waiting as may wait; nothing was taken.
            BrokerUnavailableError: nothing was taken.
        """
        for store_id in by_store:
            self.check(store_id)
        left = POLL_BYTES * sum(map(len, by_store.values()))
        await self._publisher.reserve(left)
        begun = []
        try:
            for store_id, polls in by_store.items():
                left -= POLL_BYTES * len(polls)
                begun.append(self._begin(store_id, polls))
        except BrokerUnavailableError:
            # the connection was lost while there was no room: none was taken, not even the first
            self._publisher.budget.release(left)
            raise
        return begun

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
        await self._publish(STORE_TIMEZONES, store_id, encode_zone(store_id, timezone))

    async def remove(self, store_id: str) -> None:
        """Take back all that was told of a store: hours, zone and polls.

        Raises:
            OverloadedError: as much is waiting as may wait.
            BrokerUnavailableError: the broker did not acknowledge all of it in time; some of it
                may have been taken back.
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
        """Keep a body that is refused as a whole, or its beginning.

        Returns:
            whether it is kept: not all are, where they come too fast.

        Raises:
            OverloadedError: as much is waiting as may wait.
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        source: dict[str, str | int] = {"http": str(uuid4()), "path": path}
        whole = len(original) <= KEPT_BYTES and not truncated
        return await self.keep(
            DeadLetter(source, reason, original[:KEPT_BYTES], truncated=not whole)
        )

    async def keep(self, letter: DeadLetter) -> bool:
        """Keep a letter about a body of which nothing, or hardly anything, was accepted.

        Returns:
            whether it is kept: not all are, where they come too fast.

        Raises:
            OverloadedError: as much is waiting as may wait.
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        self._require()
        if not self._letters.try_acquire(1 + len(letter.original or b"") / LETTER_BYTES):
            self._metrics.letters_not_kept += 1
            return False
        log.info("refused %s: %s", letter.source["path"], letter.reason[:LOGGED_CHARACTERS])
        await acknowledged_at(self._publisher.send(DEAD_LETTERS, *self._record_of(letter)))
        return True

    async def keep_one_of_many(self, letter: DeadLetter) -> asyncio.Future[BatchMetadata]:
        """Keep a letter about one refused item of a body, waiting a while for room.

        Returns:
            what becomes of it; for `outcome`.

        Raises:
            OverloadedError: as much is waiting as may wait.
            BrokerUnavailableError: the broker is out of reach.
        """
        self._require()
        return await self._publisher.send_when_room(DEAD_LETTERS, *self._record_of(letter))

    def _record_of(self, letter: DeadLetter) -> tuple[bytes, bytes]:
        self._metrics.dead_letters.count(letter)
        return dead_letter_key(letter), bounded_dead_letter(letter)

    async def _publish(self, topic: TopicSpec, store_id: str, value: bytes) -> None:
        self._require()
        await acknowledged_at(self._publisher.send(topic, store_id.encode(), value))

    def _begin(self, store_id: str, polls: list[Poll]) -> asyncio.Future[BatchMetadata]:
        value = encode_poll_batch(store_id, polls)
        cost = POLL_BYTES * len(polls)
        return self._publisher.send_reserved(STORE_STATUS, store_id.encode(), value, cost)
