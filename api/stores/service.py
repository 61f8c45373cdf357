"""The stores that exist, including everything that was acknowledged before the call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.kafka.publisher import ANSWER_SECONDS
from stream_app.errors import StoreNotFoundError, WorkersBehindError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from api.stores.view import StoreEntry, StoreView

_SHOWN_STORES: Final = 5
"""Unknown stores that an error names."""


@dataclass(frozen=True, slots=True)
class StorePage:
    """A page of store ids, and whether more ids come after it."""

    store_ids: list[str]
    has_more: bool


class StoreService:
    """Answers which stores exist, and removes a store.

    Args:
        view: the stores, as the topics say.
        read: returns when the view has all that is in its topics now; bounded in time.
        read_all: does the same for every view of stores.
        applied: returns when the workers have applied, and so registered, all that was
            acknowledged before; not bounded in time.
        require: raises `BrokerUnavailableError` without a connection.
        send_removal: sends the records that remove a store, and returns when the broker has them.
    """

    def __init__(
        self,
        view: StoreView,
        *,
        read: Callable[[], Awaitable[object]],
        read_all: Callable[[], Awaitable[object]],
        applied: Callable[[], Awaitable[object]],
        require: Callable[[], None],
        send_removal: Callable[[str], Awaitable[None]],
    ) -> None:
        self._view = view
        self._read = read
        self._read_all = read_all
        self._applied = applied
        self._require = require
        self._send_removal = send_removal

    async def store_exists(self, store_id: str) -> bool:
        """Return whether a store exists.

        Raises:
            BrokerUnavailableError: the broker did not answer in time.
            WorkersBehindError: the store may be in what the workers have yet to apply.
        """
        self._require()
        # another process may have made or removed the store a moment ago
        await self._read()
        if not self._view.exists(store_id):
            await self._read_after_the_workers(store_id)
        return self._view.exists(store_id)

    async def require(self, store_id: str) -> None:
        """Raise an error unless a store exists.

        Raises:
            StoreNotFoundError: no input names it.
            BrokerUnavailableError: the broker did not answer in time.
            WorkersBehindError: the store may be in what the workers have yet to apply.
        """
        if not await self.store_exists(store_id):
            raise _unknown(store_id)

    async def require_all(self, store_ids: Iterable[str]) -> None:
        """Raise an error unless all of some stores exist.

        Raises:
            StoreNotFoundError: no input names one of them.
            BrokerUnavailableError: the broker did not answer in time.
            WorkersBehindError: one may be in what the workers have yet to apply.
        """
        self._require()
        await self._read()
        missing = [store_id for store_id in store_ids if not self._view.exists(store_id)]
        if missing:
            # this waits for all that was acknowledged before, not for this store alone
            await self._read_after_the_workers(missing[0])
        unknown = [store_id for store_id in missing if not self._view.exists(store_id)]
        if unknown:
            more = ", ..." if len(unknown) > _SHOWN_STORES else ""
            raise StoreNotFoundError(
                f"{len(unknown)} of the stores are unknown, they have no poll, hours or timezone: "
                f"{', '.join(unknown[:_SHOWN_STORES])}{more}"
            )

    async def get(self, store_id: str) -> StoreEntry:
        """Return a store with its hours and timezone.

        Raises:
            StoreNotFoundError: no input names it.
            BrokerUnavailableError: the broker did not answer in time.
            WorkersBehindError: the store may be in what the workers have yet to apply.
        """
        await self.require(store_id)
        entry = self._view.get(store_id)
        if entry is None:
            raise _unknown(store_id)
        return entry

    async def page(self, prefix: str, after: str, limit: int) -> StorePage:
        """Return the first `limit` ids that begin with `prefix` and come after `after`, in order.

        Raises:
            BrokerUnavailableError: the broker did not answer in time.
            WorkersBehindError: there may be stores in what the workers have yet to apply.
        """
        self._require()
        await self._wait_for_workers("not all stores are known yet")
        await self._read()
        # one more id than the page has says whether there is a next page
        store_ids = self._view.page(prefix, after, limit + 1)
        return StorePage(store_ids[:limit], has_more=len(store_ids) > limit)

    async def remove(self, store_id: str) -> None:
        """Remove a store, and return when every view of this process shows that it is gone.

        Raises:
            StoreNotFoundError: no input names it.
            OverloadedError: too much is waiting for the broker.
            BrokerUnavailableError: the broker did not answer in time.
            WorkersBehindError: the workers have yet to apply it.
        """
        await self.require(store_id)
        await self._send_removal(store_id)
        await self._wait_for_workers(f"the removal of store {store_id} is recorded")
        await self._read_all()

    async def _read_after_the_workers(self, store_id: str) -> None:
        """Wait until the workers have registered all new stores, and read them."""
        await self._wait_for_workers(f"store {store_id} is not known yet")
        await self._read()

    async def _wait_for_workers(self, what: str) -> None:
        try:
            await asyncio.wait_for(self._applied(), ANSWER_SECONDS)
        except TimeoutError:
            raise WorkersBehindError(
                f"{what}, and the workers are still applying what came in: try again later"
            ) from None


def _unknown(store_id: str) -> StoreNotFoundError:
    return StoreNotFoundError(f"store {store_id} is unknown: it has no poll, hours or timezone")
