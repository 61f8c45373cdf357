"""Publishes the polls of one `POST /status`: each item is accepted or rejected by itself."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import orjson

from api.http.json_items import Item
from api.http.ndjson import LineTooLongError
from api.ingest.rejected_items import RejectedItems
from api.ingest.service import NO_DEAD_LETTER
from api.kafka.publisher import acknowledged_at
from stream_app.contracts.json_text import RepeatedKeyError
from stream_app.contracts.polls import parse_poll_item
from stream_app.errors import BrokerUnavailableError, RecordError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterable, Callable, Iterable

    from api.ingest.service import IngestService
    from stream_app.contracts.polls import Poll
    from stream_app.kafka.batch_producer import BatchMetadata

MAX_REJECTED_ITEMS: Final = 100_000
"""Rejected items after which the rest of a body is not read: it is some other kind of data."""

UNACKNOWLEDGED_ITEMS: Final = 4_000
"""Items of one request that may wait for the broker before more of its body is read."""


class TooManyRejectedError(Exception):
    """A body has more than `MAX_REJECTED_ITEMS` rejected items."""


class PollBatchPublisher:
    """Publishes the items of one request, slice by slice, in bounded memory.

    Attributes:
        accepted: the number of items that the broker has acknowledged.

    Args:
        ingestion: sends polls and dead letters.
        path: the path of the request, which its dead letters name.
        try_reserve: reserves memory for bodies, in bytes; returns False where there is no room.
    """

    def __init__(
        self, ingestion: IngestService, path: str, try_reserve: Callable[[int], bool]
    ) -> None:
        self.accepted = 0
        self._ingestion = ingestion
        self._source: dict[str, str | int] = {"http": str(uuid4()), "path": path}
        self._rejected = RejectedItems(try_reserve)
        self._dead_letter_note = ""
        self._in_flight: deque[tuple[asyncio.Future[BatchMetadata], list[tuple[int, int]]]] = (
            deque()
        )
        self._unacknowledged = 0

    async def publish(
        self, slices: AsyncIterable[Iterable[Item]], body: bytes | None = None
    ) -> None:
        """Publish all items; returns when the broker has every record, dead letters among them.

        An error ends the body, and the items before it count. Unless the broker is out of reach,
        the error is raised when the broker has their records.

        Args:
            slices: the items in order, some at a time.
            body: the whole body, where it is in memory.

        Raises:
            TooManyRejectedError: too many items of this body are rejected.
            OverloadedError: too much is waiting for the broker.
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        try:
            async for items in slices:
                await self._send(items)
            await self._complete(body)
        except BrokerUnavailableError:
            raise
        except Exception:
            await self._complete()
            raise

    def counts(self) -> dict[str, int]:
        """Return how many items are accepted, and how many are rejected; also after an error."""
        for sent, entries in self._in_flight:
            if sent.done() and not sent.cancelled() and sent.exception() is None:
                self._count_acknowledged(entries, sent.result().append_time)
        self._in_flight.clear()
        return {"accepted": self.accepted, "refused": self._rejected.count}

    def content(self) -> dict[str, Any]:
        """Return the counts, and the first rejected items by their index and reason."""
        counts = self.counts()
        listed = sorted(self._rejected.listed, key=lambda item: item["index"])
        content: dict[str, Any] = {**counts, "items": listed}
        if self._rejected.count > len(listed):
            content["not_listed"] = self._rejected.count - len(listed)
        return content

    def rejection(self) -> str:
        """Say in one line why no item of the body was accepted."""
        if not self._rejected.count:
            return "the body holds no item"
        return self._rejected.summary(accepted=0) + self._dead_letter_note

    async def _complete(self, body: bytes | None = None) -> None:
        """Send the dead letters of rejected items, and wait until the broker has everything."""
        while self._in_flight:
            await self._settle_oldest()
        dead_letters = self._rejected.pop_dead_letters(self._source, body, accepted=self.accepted)
        if len(dead_letters) == 1:
            if not await self._ingestion.write_dead_letter(dead_letters[0]):
                self._dead_letter_note = NO_DEAD_LETTER
            return
        for dead_letter in dead_letters:
            self._in_flight.append((await self._ingestion.send_dead_letter(dead_letter), []))
        while self._in_flight:
            await self._settle_oldest()

    async def _send(self, items: Iterable[Item]) -> None:
        """Send or reject some items: at most as many as one record may have of a store."""
        while self._unacknowledged > UNACKNOWLEDGED_ITEMS:
            await self._settle_oldest()
        now = self._ingestion.clock()
        earliest, latest = self._ingestion.accepted_times(now)
        store_limit = self._ingestion.store_limit
        # no store comes or goes while these items are looked at
        limit_is_near = store_limit.is_near
        by_store: dict[str, list[Poll]] = {}
        entries: dict[str, list[tuple[int, int]]] = {}
        for index, item, original in items:
            try:
                if isinstance(item, RecordError):
                    raise item
                store_id, poll = parse_poll_item(item, now)
            except RecordError as error:
                self._reject(Item(index, item, original), str(error))
                continue
            reason = None
            if not earliest <= poll[0] <= latest:
                reason = self._ingestion.why_ill_dated(poll[0], now)
            elif limit_is_near:
                reason = store_limit.why_not_writable(store_id)
            if reason is not None:
                self._reject(Item(index, item, original), reason)
                continue
            if store_id not in by_store:
                by_store[store_id], entries[store_id] = [], []
            by_store[store_id].append(poll)
            entries[store_id].append((index, poll[0]))
        sent = await self._ingestion.send_polls(by_store)
        # most stores share a batch with others
        by_batch: dict[asyncio.Future[BatchMetadata], list[tuple[int, int]]] = {}
        for batch, entries_of_store in zip(sent, entries.values(), strict=True):
            by_batch.setdefault(batch, []).extend(entries_of_store)
            self._unacknowledged += len(entries_of_store)
        self._in_flight.extend(by_batch.items())

    def _reject(self, item: Item, reason: str) -> None:
        if self._rejected.count >= MAX_REJECTED_ITEMS:
            raise TooManyRejectedError
        original = item.original
        if original is None:
            original = b"" if self._rejected.is_full else _encode(item.content)
        truncated = isinstance(item.content, LineTooLongError)
        self._rejected.add(item.number, reason, original, truncated=truncated)
        self._ingestion.poll_counts.refused += 1

    async def _settle_oldest(self) -> None:
        sent, entries = self._in_flight[0]
        append_time = await acknowledged_at(sent)
        self._in_flight.popleft()
        self._unacknowledged -= len(entries)
        self._count_acknowledged(entries, append_time)

    def _count_acknowledged(self, entries: list[tuple[int, int]], append_time: int) -> None:
        """Count polls that the broker has as accepted, unless its clock makes them ill-dated."""
        earliest, latest = self._ingestion.accepted_times(append_time)
        ill_dated = [entry for entry in entries if not earliest <= entry[1] <= latest]
        for index, instant in ill_dated:
            # the worker writes its dead letter
            reason = self._ingestion.why_ill_dated(instant, append_time) or ""
            self._rejected.count_rejected(index, reason)
        counts = self._ingestion.poll_counts
        counts.refused += len(ill_dated)
        counts.accepted += len(entries) - len(ill_dated)
        self.accepted += len(entries) - len(ill_dated)


def _encode(item: Any) -> bytes:
    if isinstance(item, RepeatedKeyError):
        return item.original
    try:
        return orjson.dumps(item)
    except orjson.JSONEncodeError:
        # orjson reads deeper nesting than it writes
        return json.dumps(item).encode()
