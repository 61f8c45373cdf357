"""What is known of the stores, up to everything that was acknowledged before the question."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from api.kafka.publisher import ANSWER_SECONDS
from stream_app.errors import WorkersBehindError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from api.stores.view import StoreEntry, StoreView


class StoreService:
    """The registry as the routes see it.

    Args:
        registry: the view of the topics.
        read: returns when the view has all that is in its topics now; bounded in time.
        read_all: likewise for all views of stores.
        applied: returns when the workers have applied, and so registered, all that was
            acknowledged before; not bounded in time.
        require: raises without a connection.
    """

    def __init__(
        self,
        registry: StoreView,
        *,
        read: Callable[[], Awaitable[object]],
        read_all: Callable[[], Awaitable[object]],
        applied: Callable[[], Awaitable[object]],
        require: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._read = read
        self._read_all = read_all
        self._applied = applied
        self._require = require

    async def store_exists(self, store_id: str) -> bool:
        """Whether a store is known.

        Raises:
            BrokerUnavailableError: the broker did not answer in time.
            WorkersBehindError: the store may be in what the workers have yet to apply.
        """
        self._require()
        # made or removed by way of another process a moment ago, it may not be seen here yet
        await self._read()
        if not self._registry.exists(store_id):
            await self._read_behind_the_workers(store_id)
        return self._registry.exists(store_id)

    async def unknown(self, store_ids: Iterable[str]) -> list[str]:
        """Those of the stores that are not known.

        Raises:
            BrokerUnavailableError: the broker did not answer in time.
            WorkersBehindError: one may be in what the workers have yet to apply.
        """
        self._require()
        await self._read()
        missing = [store_id for store_id in store_ids if not self._registry.exists(store_id)]
        if missing:
            # which waits for all that was acknowledged before, whatever becomes of this one
            await self._read_behind_the_workers(missing[0])
        return [store_id for store_id in missing if not self._registry.exists(store_id)]

    async def store(self, store_id: str) -> StoreEntry | None:
        """A store as it stands; None where it is unknown.

        Raises:
            BrokerUnavailableError: the broker did not answer in time.
            WorkersBehindError: the store may be in what the workers have yet to apply.
        """
        if not await self.store_exists(store_id):
            return None
        return self._registry.get(store_id)

    async def page(self, prefix: str, after: str, limit: int) -> list[str]:
        """The ids that begin with `prefix` and come behind `after`, in order, `limit` at most.

        Raises:
            BrokerUnavailableError: the broker did not answer in time.
            WorkersBehindError: there may be stores in what the workers have yet to apply.
        """
        self._require()
        await self._wait_for_workers("not all stores are known yet")
        await self._read()
        return self._registry.page(prefix, after, limit)

    async def wait_until_removed(self, store_id: str) -> None:
        """Wait until what took a store back is applied, and seen by every view of this process.

        Raises:
            BrokerUnavailableError: the broker did not answer in time.
            WorkersBehindError: the workers have yet to apply it.
        """
        await self._wait_for_workers(f"the removal of store {store_id} is recorded")
        await self._read_all()

    async def _read_behind_the_workers(self, store_id: str) -> None:
        """Read all that the workers register of what came in: a store may be acknowledged only."""
        await self._wait_for_workers(f"store {store_id} is not known yet")
        await self._read()

    async def _wait_for_workers(self, what: str) -> None:
        try:
            await asyncio.wait_for(self._applied(), ANSWER_SECONDS)
        except TimeoutError:
            raise WorkersBehindError(
                f"{what}, and the workers are still applying what came in: try again later"
            ) from None
