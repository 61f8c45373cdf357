"""Limits the number of stores: a new store beyond it is refused, and known stores go on.

What counts are the stores that the workers have registered, and the new stores that this process
has admitted since. So the count is exact while one API process alone makes stores. The stores of
other processes, and of clients of Kafka, count when the workers have registered them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from stream_app.errors import TooManyStoresError

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.stores.view import StoreView

UNREGISTERED_SECONDS: Final = 60.0
"""Seconds after which an admitted store that is not registered no longer counts."""

UNCOUNTED_STORES: Final = 1_000
"""Stores below the limit at which the lookup of every store begins."""


class StoreLimit:
    """Says which stores may be written to.

    Args:
        store_view: the stores that the workers have registered.
        max_stores: the setting MAX_STORES.
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(
        self,
        store_view: StoreView,
        max_stores: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store_view = store_view
        self._max_stores = max_stores
        self._monotonic = monotonic
        # far below the limit no store is looked up: most deployments never come near
        self._near_count = max_stores - max(max_stores // 10, UNCOUNTED_STORES)
        self._admitted: dict[str, float] = {}

    @property
    def is_near(self) -> bool:
        """Return whether there are so many stores that each one is looked up."""
        return self._store_view.count + len(self._admitted) >= self._near_count

    def why_not_writable(self, store_id: str) -> str | None:
        """Admit a store, also a new one; or return why it cannot be written to."""
        if not self.is_near:
            return None
        if store_id in self._admitted or self._store_view.exists(store_id):
            return None
        if self._store_view.count + len(self._admitted) >= self._max_stores:
            self._forget_registered()
            if self._store_view.count + len(self._admitted) >= self._max_stores:
                return (
                    f"store {store_id} is new, and there are {self._max_stores:,} stores already, "
                    "as many as STORE_UPTIME_MAX_STORES allows: remove some, or raise it"
                )
        self._admitted[store_id] = self._monotonic()
        return None

    def require_writable(self, store_id: str) -> None:
        """Raise an error unless a store can be written to; a new store is admitted.

        Raises:
            TooManyStoresError: the store is new, and there are too many.
        """
        reason = self.why_not_writable(store_id)
        if reason is not None:
            raise TooManyStoresError(reason)

    def _forget_registered(self) -> None:
        since = self._monotonic() - UNREGISTERED_SECONDS
        self._admitted = {
            store_id: admitted_at
            for store_id, admitted_at in self._admitted.items()
            if admitted_at > since and not self._store_view.exists(store_id)
        }
