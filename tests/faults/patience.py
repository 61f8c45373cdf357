"""Starts Kafka clients, and tries again until the broker answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Self

from aiokafka.errors import KafkaError

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.clients import start, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.settings import Settings

_RETRY_SECONDS: Final = 0.2


async def start_client(settings: Settings, make: Callable[[], Any]) -> Any:
    """Make clients with `make` until one has started, and return it."""
    while True:
        client = make()
        try:
            await start(client, settings)
        except BrokerUnavailableError:
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return client


class RenewedProducer:
    """A producer that is replaced by a new one after an error that a retry cannot mend.

    After such an error the broker refuses all later records of an idempotent producer.
    """

    def __init__(self, settings: Settings, make: Callable[[], Any]) -> None:
        self._settings = settings
        self._make = make

    async def __aenter__(self) -> Self:
        self._client = await start_client(self._settings, self._make)
        return self

    async def __aexit__(self, *_: object) -> None:
        await stop(self._client)

    async def send_and_wait(self, *record: Any, **options: Any) -> None:
        """Send a record, and raise the error if it failed: the caller sends it again."""
        client = self._client
        try:
            await client.send_and_wait(*record, **options)
        except KafkaError as error:
            if not getattr(error, "retriable", False) and client is self._client:
                self._client = await start_client(self._settings, self._make)
                await stop(client)
            raise
