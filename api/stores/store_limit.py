"""The most stores: a new one beyond is refused, those that are there go on.

The count is that of the registry, and of the new stores that this process let in and that are not
registered yet: so it is exact as long as one API process alone lets stores in. Others, and clients
of Kafka, are seen when the workers have registered what they sent.
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
"""Stores below the limit from which on every store is looked up."""


class StoreLimit:
    """Says which stores may be written to.

    Args:
        store_view: the stores that the workers have registered.
        most: the setting MAX_STORES.
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(
        self,
        store_view: StoreView,
        most: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store_view = store_view
        self._most = most
        self._monotonic = monotonic
        # far below the limit no store is looked up: most deployments never come near
        self._near = most - max(most // 10, UNCOUNTED_STORES)
        self._let_in: dict[str, float] = {}

    def refusal(self, store_id: str) -> str | None:
        """Return why a store cannot be written to, or None; a new store then has its place."""
        if self._store_view.count + len(self._let_in) < self._near:
            return None
        if store_id in self._let_in or self._store_view.exists(store_id):
            return None
        if self._store_view.count + len(self._let_in) >= self._most:
            self._forget_registered()
            if self._store_view.count + len(self._let_in) >= self._most:
                return (
                    f"store {store_id} is new, and there are {self._most:,} stores already, as "
                    "many as STORE_UPTIME_MAX_STORES allows: remove some, or raise it"
                )
        self._let_in[store_id] = self._monotonic()
        return None

    def check(self, store_id: str) -> None:
        """Raise an error where `refusal` returns a reason.

        Raises:
            TooManyStoresError: the store cannot be written to.
        """
        reason = self.refusal(store_id)
        if reason is not None:
            raise TooManyStoresError(reason)

    def _forget_registered(self) -> None:
        since = self._monotonic() - UNREGISTERED_SECONDS
        self._let_in = {
            store_id: let_in
            for store_id, let_in in self._let_in.items()
            if let_in > since and not self._store_view.exists(store_id)
        }
