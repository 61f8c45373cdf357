"""Sends to Kafka the polls, business hours and timezones that come by HTTP, and dead letters.

Every method returns when the broker has acknowledged its records, or raises an error in time.
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
from stream_app.errors import BrokerUnavailableError, PollTimeError, RecordError

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
"""Dead letters for rejected bodies in the long run: an attacker must not push out other ones."""

DEAD_LETTERS_AT_ONCE: Final = 1_000.0
"""Dead letters for rejected bodies that may come in one burst."""

NO_DEAD_LETTER: Final = "; it is not kept as a dead letter, since too much is refused just now"
"""The end of an error line about rejected input of which no dead letter is written."""

DEAD_LETTER_BYTES: Final = 64 << 10
"""Bytes of a rejected body that count as one more dead letter."""

LOGGED_CHARACTERS: Final = 200
"""Characters of a path or of a reason in a line of the log."""

POLL_BYTES: Final = 320
"""Bytes of memory that a poll costs until it is acknowledged, in its record and elsewhere."""


class IngestService:
    """Sends polls, hours and timezones to Kafka, and dead letters for rejected input.

    Args:
        settings: the earliest time of a poll, and how far ahead of the clock it may be.
        clock: the wall clock in µs.
        publisher: sends the records.
        require: raises `BrokerUnavailableError` without a connection.
        store_limit: says whether a new store may be made.
        metrics: counts polls and dead letters.

    Attributes:
        clock: the wall clock in µs.
        store_limit: says whether a new store may be made.
        poll_counts: how many polls were accepted, and how many were rejected.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], int],
        publisher: BoundedPublisher,
        require: Callable[[], None],
        store_limit: StoreLimit,
        metrics: ApiMetrics,
    ) -> None:
        self.clock = clock
        self.store_limit = store_limit
        self.poll_counts = metrics.polls
        self._metrics = metrics
        self._dead_letter_rate = TokenBucket(DEAD_LETTERS_PER_SECOND, DEAD_LETTERS_AT_ONCE)
        self._earliest = settings.earliest_poll
        self._tolerance = settings.future_tolerance
        self._publisher = publisher
        self._require = require

    async def stop(self, patience: float) -> None:
        """Wait until the records in flight are acknowledged, for at most `patience` seconds."""
        await self._publisher.drain(patience)

    def why_ill_dated(self, instant: int, clock: int) -> str | None:
        """Return why the time of a poll is rejected, in one line; None if it is not rejected.

        Args:
            instant: the time of the poll, µs.
            clock: the time that the poll must not be too far ahead of, µs.
        """
        return before_earliest(instant, self._earliest) or ahead_of_clock(
            instant, clock, self._tolerance
        )

    def accepted_times(self, clock: int) -> tuple[int, int]:
        """Return the earliest and the latest time of a poll that is accepted, µs.

        `why_ill_dated` has the reason for any other time.

        Args:
            clock: the time that a poll must not be too far ahead of, µs.
        """
        return self._earliest, clock + self._tolerance

    async def send_poll(self, store_id: str, poll: Poll) -> None:
        """Send one poll; returns when it is accepted.

        Raises:
            RecordError: the poll is rejected by the clock of this process, and is not sent.
            PollTimeError: the poll was sent, and is rejected by the broker's clock.
            TooManyStoresError: the store is new, and there are too many.
            OverloadedError: too much is waiting for the broker.
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        reason = self.why_ill_dated(poll[0], self.clock())
        if reason is not None:
            raise RecordError(reason)
        self._require_acknowledgements(store_id)
        self.store_limit.require_writable(store_id)
        if not self._publisher.budget.try_acquire(POLL_BYTES):
            raise overloaded()
        append_time = await acknowledged_at(self._send_reserved(store_id, [poll]))
        reason = self.why_ill_dated(poll[0], append_time)
        if reason is not None:
            self.poll_counts.refused += 1
            raise PollTimeError(reason)
        self.poll_counts.accepted += 1

    async def send_polls(
        self, by_store: Mapping[str, list[Poll]]
    ) -> list[asyncio.Future[BatchMetadata]]:
        """Send polls of many stores that this process' clock accepts; wait a while for room.

        Args:
            by_store: the polls of each store, at most as many as fit a record.

        Returns:
            a future for each store, in the order of the mapping; wait for it with
            `acknowledged_at`. The append time says whether a poll is ahead of the broker's clock.

        Raises:
            OverloadedError: too much is waiting for the broker; nothing was sent.
            BrokerUnavailableError: nothing was sent.
        """
        self._require()
        self._publisher.require_all_acknowledgements(STORE_STATUS, map(str.encode, by_store))
        left = POLL_BYTES * sum(map(len, by_store.values()))
        await self._publisher.reserve(left)
        sent = []
        try:
            for store_id, polls in by_store.items():
                left -= POLL_BYTES * len(polls)
                sent.append(self._send_reserved(store_id, polls))
        except BrokerUnavailableError:
            # the connection was lost while there was no room: none was accepted, not even the first
            self._publisher.budget.release(left)
            raise
        return sent

    async def replace_hours(self, store_id: str, hours: BusinessHours) -> None:
        """Replace the business hours of a store.

        Raises:
            OverloadedError: too much is waiting for the broker.
            TooManyStoresError: the store is new, and there are too many.
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        await self._replace(STORE_BUSINESS_HOURS, store_id, encode_hours(store_id, hours.rows))

    async def replace_timezone(self, store_id: str, timezone: str) -> None:
        """Replace the timezone of a store.

        Raises:
            OverloadedError: too much is waiting for the broker.
            TooManyStoresError: the store is new, and there are too many.
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        await self._replace(STORE_TIMEZONES, store_id, encode_timezone(store_id, timezone))

    async def send_removal(self, store_id: str) -> None:
        """Remove all facts of a store: business hours, timezone and polls.

        Raises:
            OverloadedError: too much is waiting for the broker.
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

    async def write_body_dead_letter(
        self, path: str, reason: str, original: bytes, *, truncated: bool = False
    ) -> bool:
        """Write the dead letter of a body that is rejected as a whole.

        Args:
            path: the path of the request.
            reason: why the body is rejected.
            original: the body, or its beginning.
            truncated: whether `original` is the beginning alone.

        Returns:
            whether it is written: where too many come, some are not.

        Raises:
            OverloadedError: too much is waiting for the broker.
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        source: dict[str, str | int] = {"http": str(uuid4()), "path": path}
        whole = len(original) <= KEPT_BYTES and not truncated
        return await self.write_dead_letter(
            DeadLetter(source, reason, original[:KEPT_BYTES], truncated=not whole)
        )

    async def write_dead_letter(self, dead_letter: DeadLetter) -> bool:
        """Write a dead letter, unless too many come; returns when the broker has it.

        Returns:
            whether it is written: where too many come, some are not.

        Raises:
            OverloadedError: too much is waiting for the broker.
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        self._require()
        if not self._dead_letter_rate.try_acquire(
            1 + len(dead_letter.original or b"") / DEAD_LETTER_BYTES
        ):
            self._metrics.missing_dead_letters += 1
            return False
        log.info(
            "rejected %s: %s", dead_letter.source["path"], dead_letter.reason[:LOGGED_CHARACTERS]
        )
        await acknowledged_at(self._publisher.send(DEAD_LETTERS, *self._record_of(dead_letter)))
        return True

    async def send_dead_letter(self, dead_letter: DeadLetter) -> asyncio.Future[BatchMetadata]:
        """Send the dead letter of one item among accepted ones; wait a while for room.

        Returns:
            the future of its batch; wait for it with `acknowledged_at`.

        Raises:
            OverloadedError: too much is waiting for the broker.
            BrokerUnavailableError: the broker is out of reach.
        """
        self._require()
        return await self._publisher.send_when_room(DEAD_LETTERS, *self._record_of(dead_letter))

    def _record_of(self, dead_letter: DeadLetter) -> tuple[bytes, bytes]:
        self._metrics.dead_letters.count(dead_letter)
        return dead_letter_key(dead_letter), bounded_dead_letter(dead_letter)

    def _require_acknowledgements(self, store_id: str) -> None:
        """Raise `BrokerUnavailableError` unless polls of a store can be sent."""
        self._require()
        self._publisher.require_acknowledgements(STORE_STATUS, store_id.encode())

    async def _replace(self, topic: TopicSpec, store_id: str, value: bytes) -> None:
        self._require()
        self.store_limit.require_writable(store_id)
        await acknowledged_at(self._publisher.send(topic, store_id.encode(), value))

    def _send_reserved(self, store_id: str, polls: list[Poll]) -> asyncio.Future[BatchMetadata]:
        value = encode_poll_batch(store_id, polls)
        cost = POLL_BYTES * len(polls)
        return self._publisher.send_reserved(STORE_STATUS, store_id.encode(), value, cost)
