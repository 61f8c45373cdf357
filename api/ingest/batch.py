"""The items of one `POST /status`: each is accepted or refused by itself, in bounded memory."""

from __future__ import annotations

import json
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import orjson

from api.http.json_items import Item
from api.http.ndjson import LineTooLongError
from api.http.problems import NOT_KEPT, ProblemError
from api.ingest.rejected_items import RefusedItems
from api.kafka.publisher import acknowledged_at
from stream_app.contracts.json_text import RepeatedKeyError
from stream_app.contracts.polls import parse_poll_item
from stream_app.errors import RecordError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from api.ingest.service import IngestService
    from stream_app.contracts.polls import Poll
    from stream_app.kafka.batch_producer import BatchMetadata

SLICE_ITEMS: Final = 100
"""Items between two looks at other requests; fewer than a record may hold."""

MAX_REFUSED_ITEMS: Final = 100_000
"""Beyond so many refused items a body is not what it should be."""

UNACKNOWLEDGED_ITEMS: Final = 4_000
"""Items of one request that may wait for the broker before more is read."""


class TooManyRefusedError(Exception):
    """A body has more rejected items than are worth a dead letter each."""


class BatchIntake:
    """Sends the items of one request, slice by slice.

    Attributes:
        accepted: items that the broker has acknowledged.

    Args:
        ingestion: where they go.
        path: of the request, for the dead letters.
        try_reserve: takes bytes of the memory for bodies, or says that there is no room.
    """

    def __init__(
        self, ingestion: IngestService, path: str, try_reserve: Callable[[int], bool]
    ) -> None:
        self.accepted = 0
        self._ingestion = ingestion
        self._source: dict[str, str | int] = {"http": str(uuid4()), "path": path}
        self._refused = RefusedItems(try_reserve)
        self._not_kept = ""
        self._waiting: deque[tuple[asyncio.Future[BatchMetadata], list[tuple[int, int]]]] = deque()
        self._unacknowledged = 0

    async def complete(self, body: bytes | None = None) -> None:
        """Send the dead letters of rejected items, and wait until the broker has everything.

        Args:
            body: all of it, where it is at hand.

        Raises:
            OverloadedError: as much is waiting as may wait.
            BrokerUnavailableError: it did not acknowledge in time.
        """
        while self._waiting:
            await self._settle_oldest()
        dead_letters = self._refused.dead_letters(self._source, body, accepted=self.accepted)
        if len(dead_letters) == 1:
            if not await self._ingestion.write_dead_letter(dead_letters[0]):
                self._not_kept = NOT_KEPT
            return
        for dead_letter in dead_letters:
            self._waiting.append((await self._ingestion.send_dead_letter(dead_letter), []))
        while self._waiting:
            await self._settle_oldest()

    def counts(self) -> dict[str, int]:
        """Return how many items are accepted, and how many refused; also after a failure."""
        for sent, entries in self._waiting:
            if sent.done() and not sent.cancelled() and sent.exception() is None:
                self._tally(entries, sent.result().append_time)
        self._waiting.clear()
        return {"accepted": self.accepted, "refused": self._refused.count}

    def answer(self) -> dict[str, Any]:
        """Return the counts, and the refused items by index and reason, as far as they are listed.

        Raises:
            ProblemError: nothing of the body was accepted.
        """
        counts = self.counts()
        listed = sorted(self._refused.listed, key=lambda item: item["index"])
        answer: dict[str, Any] = {**counts, "items": listed}
        if self._refused.count > len(listed):
            answer["not_listed"] = self._refused.count - len(listed)
        if self.accepted:
            return answer
        detail = "the body holds no item"
        if self._refused.count:
            detail = self._refused.summary(accepted=0) + self._not_kept
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, **answer)

    async def add(self, items: Iterable[Item]) -> None:
        """Send or reject some items, at most SLICE_ITEMS.

        Raises:
            TooManyRefusedError: of this body too many were refused.
            OverloadedError: as much is waiting as may wait.
            BrokerUnavailableError: the broker is out of reach.
        """
        while self._unacknowledged > UNACKNOWLEDGED_ITEMS:
            await self._settle_oldest()
        now = self._ingestion.clock()
        by_store: dict[str, list[Poll]] = {}
        entries: dict[str, list[tuple[int, int]]] = {}
        for index, item, original in items:
            try:
                if isinstance(item, RecordError):
                    raise item
                store_id, poll = parse_poll_item(item, now)
                reason = self._ingestion.ill_dated(poll[0], now)
                if reason is None:
                    reason = self._ingestion.limit.refusal(store_id)
            except RecordError as error:
                reason = str(error)
            if reason is not None:
                self._refuse(Item(index, item, original), reason)
                continue
            by_store.setdefault(store_id, []).append(poll)
            entries.setdefault(store_id, []).append((index, poll[0]))
        sent = await self._ingestion.polls(by_store)
        # most stores share a batch with others
        by_batch: dict[asyncio.Future[BatchMetadata], list[tuple[int, int]]] = {}
        for batch, entries_of_store in zip(sent, entries.values(), strict=True):
            by_batch.setdefault(batch, []).extend(entries_of_store)
            self._unacknowledged += len(entries_of_store)
        self._waiting.extend(by_batch.items())

    def _refuse(self, item: Item, reason: str) -> None:
        if self._refused.count >= MAX_REFUSED_ITEMS:
            raise TooManyRefusedError
        original = item.original
        if original is None:
            original = b"" if self._refused.is_full else _written(item.content)
        truncated = isinstance(item.content, LineTooLongError)
        self._refused.add(item.number, reason, original, truncated=truncated)
        self._ingestion.polls_counted.refused += 1

    async def _settle_oldest(self) -> None:
        sent, entries = self._waiting[0]
        append_time = await acknowledged_at(sent)
        self._waiting.popleft()
        self._unacknowledged -= len(entries)
        self._tally(entries, append_time)

    def _tally(self, entries: list[tuple[int, int]], append_time: int) -> None:
        accepted = self.accepted
        for index, instant in entries:
            reason = self._ingestion.ill_dated(instant, append_time)
            if reason is None:
                self.accepted += 1
            else:
                # the worker keeps it as a dead letter
                self._refused.count_rejected(index, reason)
                self._ingestion.polls_counted.refused += 1
        self._ingestion.polls_counted.accepted += self.accepted - accepted


def _written(item: Any) -> bytes:
    if isinstance(item, RepeatedKeyError):
        return item.original
    try:
        return orjson.dumps(item)
    except orjson.JSONEncodeError:
        # orjson reads deeper nesting than it writes
        return json.dumps(item).encode()
