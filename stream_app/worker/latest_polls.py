"""Publishes the newest poll of every store, for views of the fleet as it is now.

The newest polls are derived from the facts table: a new owner of a partition publishes all of them
again, so a crash loses nothing. Of a store with many polls each batch has the newest one only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from stream_app.domain.polls import later
from stream_app.periodic import PeriodicTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_app.worker.publisher import Publisher

BATCH_SECONDS: Final = 0.25
"""Pause between two batches in seconds."""

MAX_BATCH_STORES: Final = 1_250
"""Most stores whose newest poll is published in one batch; the others wait for the next one."""


class LatestPollPublisher:
    """Knows the newest poll of every store of the owned partitions, and publishes what is new.

    Args:
        publisher: sends the records.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._newest_polls: dict[int, dict[bytes, int]] = {}
        # ordered: the store that waits longest is published first
        self._pending: dict[tuple[int, bytes], None] = {}
        self._task = PeriodicTask("latest-polls", BATCH_SECONDS, self._publish_batch)

    async def start(self) -> None:
        """Start to publish."""
        self._task.start()

    async def stop(self) -> None:
        """Stop publishing."""
        await self._task.stop()

    def adopt(self, partition: int, known: dict[bytes, int]) -> None:
        """Start with the facts of a partition: each store's newest poll, packed."""
        self._newest_polls[partition] = known
        self._pending |= dict.fromkeys((partition, store) for store in known)

    def record_polls(self, partition: int, polls: Mapping[bytes, int]) -> None:
        """Record polls that are in the table now: the newest of the new polls of each store."""
        known = self._newest_polls.get(partition)
        if known is None:
            return
        for store, poll in polls.items():
            before = known.get(store)
            if before is None or later(poll, before) != before:
                known[store] = poll
                self._pending[partition, store] = None

    def remove(self, partition: int, stores: Iterable[bytes]) -> int | None:
        """Forget the newest polls of stores whose polls were removed, and publish that at once.

        Returns:
            µs of the newest poll of all that was forgotten; None if there was none.
        """
        known = self._newest_polls.get(partition, {})
        newest = None
        for store in stores:
            poll = known.pop(store, None)
            if poll is not None:
                newest = max(newest or 0, poll >> 1)
            self._pending.pop((partition, store), None)
            self._publisher.publish_no_latest_poll(store)
        return newest

    def newest(self, partition: int) -> int | None:
        """Return µs of the newest poll of all stores of a partition; None if there is no poll."""
        newest = max(self._newest_polls.get(partition, {}).values(), default=None)
        return None if newest is None else newest >> 1

    def newest_of(self, partition: int, store: bytes) -> int | None:
        """Return the newest poll of a store that is known, packed; None if none is known."""
        return self._newest_polls.get(partition, {}).get(store)

    def revoke(self, partition: int) -> None:
        """Forget a partition: it may be another worker's now."""
        known = self._newest_polls.pop(partition, {})
        for store in known:
            self._pending.pop((partition, store), None)

    async def _publish_batch(self) -> None:
        for _ in range(min(MAX_BATCH_STORES, len(self._pending))):
            if not self._pending:
                # revoked meanwhile
                return
            partition, store = next(iter(self._pending))
            del self._pending[partition, store]
            # read when it is sent: it may be removed while it waits
            await self._publisher.publish_latest_poll(
                store, partial(self._poll_of, partition, store)
            )

    def _poll_of(self, partition: int, store: bytes) -> int | None:
        return self._newest_polls.get(partition, {}).get(store)
