"""What the worker publishes besides its table: dead letters, results, stores, watermarks."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from aiokafka.errors import MessageSizeTooLargeError

from stream_app.contracts.records import (
    DeadLetter,
    StoreRecord,
    bounded_dead_letter,
    dead_letter_key,
    encode_store,
)
from stream_app.contracts.reports import ReportEvent, encode_event
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    REPORT_RESULTS,
    STORES,
    WATERMARKS,
)
from stream_app.contracts.watermarks import Watermark, encode_watermark, watermark_key
from stream_app.kafka.clients import producer, send, start, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_app.settings import Settings


class Outbox:
    """One producer, and the form of every record that goes out through it.

    Methods that return a future do not wait for the broker: it is done when the broker holds
    the record.

    Args:
        settings: how to reach the broker.
        fail: called when a record failed for good: what is behind it in its partition fails too,
            and a worker that cannot tell its watermarks would hold up every report.
    """

    def __init__(self, settings: Settings, fail: Callable[[BaseException], None]) -> None:
        self._settings = settings
        self._fail = fail
        self._producer: Any = None
        self._registrations: dict[bytes, asyncio.Future[Any]] = {}

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        self._producer = producer(self._settings)
        await start(self._producer, self._settings)

    async def stop(self) -> None:
        """Send what is waiting and disconnect."""
        if self._producer is not None:
            await stop(self._producer)

    async def dead_letter(self, letter: DeadLetter) -> asyncio.Future[Any]:
        """Keep what was refused; of a record that was compressed from more, the beginning."""
        return await self._send(
            DEAD_LETTERS.name, bounded_dead_letter(letter), dead_letter_key(letter)
        )

    async def pass_on(
        self, topic: str, partition: int, store_id: str, value: bytes
    ) -> asyncio.Future[Any]:
        """Send a record that came on another partition to the one that owns its store."""
        return await self._send(topic, value, store_id.encode(), partition)

    async def report(self, event: ReportEvent) -> asyncio.Future[Any]:
        """Tell a report's status."""
        return await self._send(REPORT_RESULTS.name, encode_event(event), event.report_id.encode())

    async def register(self, stores: Iterable[bytes]) -> None:
        """Tell that stores exist; `tell` waits for it before any watermark that comes later."""
        for store in stores:
            store_id = str(UUID(bytes=store))
            sent = await self._send(
                STORES.name, encode_store(StoreRecord(store_id)), store_id.encode()
            )
            self._registrations[store] = sent
            sent.add_done_callback(partial(self._on_registered, store))

    def _on_registered(self, store: bytes, sent: asyncio.Future[Any]) -> None:
        if self._registrations.get(store) is sent and not _has_failed(sent):
            del self._registrations[store]

    async def tell(self, watermarks: Iterable[Watermark]) -> None:
        """Publish watermarks, after every store that they cover is registered."""
        watermarks = list(watermarks)
        if self._registrations:
            await asyncio.gather(*self._registrations.values())
        for watermark in watermarks:
            await self._send(WATERMARKS.name, encode_watermark(watermark), watermark_key(watermark))

    async def _send(
        self, topic: str, value: bytes, key: bytes, partition: int | None = None
    ) -> asyncio.Future[Any]:
        try:
            sent = await send(self._producer, topic, value, key, partition)
        except MessageSizeTooLargeError:
            raise
        except Exception as error:
            self._fail(error)
            raise
        sent.add_done_callback(self._on_sent)
        return sent

    def _on_sent(self, sent: asyncio.Future[Any]) -> None:
        error = None if sent.cancelled() else sent.exception()
        if error is not None and not isinstance(error, MessageSizeTooLargeError):
            self._fail(error)


def _has_failed(sent: asyncio.Future[Any]) -> bool:
    return sent.done() and (sent.cancelled() or sent.exception() is not None)
