"""Clients that find the broker, however long that takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.clients import start

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.settings import Settings

_AGAIN: Final = 0.2


async def connected(settings: Settings, make: Callable[[], Any]) -> Any:
    """A started client of those that `make` makes."""
    while True:
        client = make()
        try:
            await start(client, settings)
        except BrokerUnavailableError:
            await asyncio.sleep(_AGAIN)
        else:
            return client
