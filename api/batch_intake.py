"""The items of one `POST /status`: each is accepted or refused by itself, in bounded memory."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import orjson

from api.lines import LineTooLongError
from api.outgoing import outcome
from stream_app.contracts.bodies import poll_item_in
from stream_app.contracts.records import KEPT_BYTES
from stream_app.errors import RecordError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from api.ingestion import Ingestion
    from stream_app.contracts.bodies import Poll
    from stream_app.kafka.batches import Acknowledged

SLICE_ITEMS: Final = 100
"""Items between two looks at other requests; fewer than a record may hold."""

LISTED_ITEMS: Final = 1_000
"""Refused items that an answer lists; the others it only counts."""

MAX_REFUSED_ITEMS: Final = 100_000
"""Beyond so many refused items a body is not what it should be."""

UNACKNOWLEDGED_ITEMS: Final = 4_000
"""Items of one request that may wait for the broker before more is read."""


class TooManyRefusedError(Exception):
    """More items of a body were refused than are worth keeping one by one."""


class BatchIntake:
    """Takes the items of one request, slice by slice.

    Attributes:
        accepted: items that the broker has acknowledged.
        refused: items that were refused.

    Args:
        ingestion: where they go.
        path: of the request, for the dead letters.
    """

    def __init__(self, ingestion: Ingestion, path: str) -> None:
        self.accepted = 0
        self.refused = 0
        self._ingestion = ingestion
        self._path = path
        self._request_id = str(uuid4())
        self._listed: list[dict[str, Any]] = []
        self._waiting: deque[tuple[asyncio.Future[Acknowledged], list[tuple[int, int]]]] = deque()
        self._unacknowledged = 0

    async def take_lines(self, lines: Iterable[tuple[int, bytes | RecordError, bytes]]) -> None:
        """Take `(index, line, original)`; an error for a line stands for one that was cut off."""
        await self._take(_parsed(lines))

    async def take_items(self, items: Iterable[tuple[int, Any]], body: bytes) -> None:
        """Take `(index, content)` of at most SLICE_ITEMS parsed items of a body."""
        await self._take(((index, item, None) for index, item in items), body)

    async def finish(self) -> None:
        """Wait until the broker holds everything that was taken.

        Raises:
            BrokerUnavailableError: it did not acknowledge in time.
        """
        while self._waiting:
            await self._settle_oldest()

    def counts(self) -> dict[str, int]:
        """How many items are accepted, and how many refused; also after a failure."""
        for sent, entries in self._waiting:
            if sent.done() and not sent.cancelled() and sent.exception() is None:
                self._tally(entries, sent.result().append_time)
        self._waiting.clear()
        return {"accepted": self.accepted, "refused": self.refused}

    def answer(self) -> dict[str, Any]:
        """The counts, and the refused items by index and reason, as far as they are listed."""
        items = sorted(self._listed, key=lambda item: item["index"])
        answer: dict[str, Any] = {**self.counts(), "items": items}
        if self.refused > len(items):
            answer["not_listed"] = self.refused - len(items)
        return answer

    async def _take(
        self, items: Iterable[tuple[int, Any, bytes | None]], body: bytes = b""
    ) -> None:
        while self._unacknowledged > UNACKNOWLEDGED_ITEMS:
            await self._settle_oldest()
        now = self._ingestion.clock()
        by_store: dict[str, list[Poll]] = {}
        entries: dict[str, list[tuple[int, int]]] = {}
        for index, item, original in items:
            try:
                if isinstance(item, RecordError):
                    raise item
                store_id, poll = poll_item_in(item, now)
                reason = self._ingestion.ahead(poll[0], now)
            except RecordError as error:
                reason = str(error)
            if reason is not None:
                await self._refuse(
                    index,
                    reason,
                    _written(item, body) if original is None else original,
                    truncated=isinstance(item, LineTooLongError),
                )
                continue
            by_store.setdefault(store_id, []).append(poll)
            entries.setdefault(store_id, []).append((index, poll[0]))
        sent = await self._ingestion.polls(by_store)
        # most stores share a batch with others
        by_batch: dict[asyncio.Future[Acknowledged], list[tuple[int, int]]] = {}
        for batch, entries_of_store in zip(sent, entries.values(), strict=True):
            by_batch.setdefault(batch, []).extend(entries_of_store)
            self._unacknowledged += len(entries_of_store)
        self._waiting.extend(by_batch.items())

    async def _refuse(self, index: int, reason: str, original: bytes, *, truncated: bool) -> None:
        if self.refused >= MAX_REFUSED_ITEMS:
            raise TooManyRefusedError
        source: dict[str, str | int] = {
            "http": self._request_id,
            "path": self._path,
            "item": index,
        }
        kept = await self._ingestion.refuse_item(source, reason, original, truncated=truncated)
        self._list(index, reason)
        self._waiting.append((kept, []))
        self._unacknowledged += 1
        while self._unacknowledged > UNACKNOWLEDGED_ITEMS:
            await self._settle_oldest()

    async def _settle_oldest(self) -> None:
        sent, entries = self._waiting[0]
        taken = await outcome(sent)
        self._waiting.popleft()
        self._unacknowledged -= len(entries) or 1
        self._tally(entries, taken)

    def _tally(self, entries: list[tuple[int, int]], taken: int) -> None:
        accepted = self.accepted
        for index, instant in entries:
            reason = self._ingestion.ahead(instant, taken)
            if reason is None:
                self.accepted += 1
            else:
                # the worker keeps it as a dead letter
                self._list(index, reason)
        self._ingestion.polls_counted.accepted += self.accepted - accepted

    def _list(self, index: int, reason: str) -> None:
        self.refused += 1
        self._ingestion.polls_counted.refused += 1
        if len(self._listed) < LISTED_ITEMS:
            self._listed.append({"index": index, "reason": reason})


def _parsed(
    lines: Iterable[tuple[int, bytes | RecordError, bytes]],
) -> Iterable[tuple[int, Any, bytes]]:
    for index, line, original in lines:
        item: Any = line
        if isinstance(line, bytes):
            try:
                item = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                item = RecordError(f"not JSON: {error}")
        yield index, item, original


def _written(item: Any, body: bytes) -> bytes:
    try:
        return orjson.dumps(item)
    except orjson.JSONEncodeError:
        # orjson reads deeper nesting than it writes: keep what surely holds it
        return body[:KEPT_BYTES]
