"""Reads the dead letters from their topic, without a consumer group.

The id of a dead letter is its offset, which is short and never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiokafka import TopicPartition

from stream_app.contracts.dead_letters import DeadLetter, decode_dead_letter
from stream_app.contracts.topics import DEAD_LETTERS
from stream_app.errors import RecordError, StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stream_app.kafka.partition_reader import PartitionReader

Shortened = TypeVar("Shortened")

CHUNK_RECORDS: Final = 500
"""Records of one step while the topic is read backwards."""

_PARTITION: Final = TopicPartition(DEAD_LETTERS.name, 0)


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter as the topic has it.

    Attributes:
        offset: its offset, which is the id that a person uses.
        stored_at: µs; the broker's time of the record.
        dead_letter: the rejected input with its reason.
    """

    offset: int
    stored_at: int
    dead_letter: DeadLetter


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Selects the dead letters that match every field that is not None.

    Attributes:
        topic: the topic of the original record.
        file: the file of the original row, or the end of its path.
        reason: a part of the reason, in upper or lower case.
        since: µs; the earliest time at which it was stored.
    """

    topic: str | None = None
    file: str | None = None
    reason: str | None = None
    since: int | None = None

    @property
    def ignores_content(self) -> bool:
        """Return True if the filter depends on the time alone."""
        return self.topic is None and self.file is None and self.reason is None

    def matches(self, dead_letter: DeadLetter) -> bool:
        """Return True if a dead letter matches all fields except the time."""
        source = dead_letter.source
        return (
            (self.topic is None or source.get("topic") == self.topic)
            and (self.file is None or str(source.get("file", "")).endswith(self.file))
            and (self.reason is None or self.reason.lower() in dead_letter.reason.lower())
        )


class DeadLetterLog:
    """The dead letters that the topic has when the log is opened; later ones do not belong to it.

    Attributes:
        oldest: the id of the oldest dead letter.
        end: the id of the newest one, plus one.
    """

    def __init__(self, reader: PartitionReader, oldest: int, end: int) -> None:
        self._reader = reader
        self.oldest = oldest
        self.end = end

    @classmethod
    async def open(cls, reader: PartitionReader) -> DeadLetterLog:
        """Ask the broker for the range of the topic's offsets.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        return cls(reader, *await reader.bounds(_PARTITION))

    async def get(self, offset: int) -> StoredDeadLetter:
        """Return the dead letter with this id.

        Raises:
            StoreUptimeError: there is no such dead letter.
            BrokerUnavailableError: no broker answers.
        """
        if self.oldest <= offset < self.end:
            async for record in self._reader.records(_PARTITION, offset, offset + 1):
                return _decode(record)
        ids = f"{self.oldest} to {self.end - 1} are" if self.end > self.oldest else "none is"
        raise StoreUptimeError(f"there is no dead letter {offset}: {ids} kept")

    async def iterate(self, selection: DeadLetterFilter) -> AsyncIterator[StoredDeadLetter]:
        """Yield the selected dead letters, the oldest first.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        first = await self._first(selection)
        async for record in self._reader.records(_PARTITION, first, self.end):
            stored = _decode(record)
            if selection.matches(stored.dead_letter):
                yield stored

    async def newest(
        self,
        selection: DeadLetterFilter,
        limit: int,
        shorten: Callable[[StoredDeadLetter], Shortened],
    ) -> tuple[list[Shortened], int]:
        """Return the newest selected dead letters, newest first, and the number of the others.

        Args:
            selection: selects the dead letters.
            limit: most dead letters to return.
            shorten: reduces a dead letter to what the caller shows: originals can be megabytes.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        newest: list[Shortened] = []
        more = 0
        first = await self._first(selection)
        end = self.end
        while end > first:
            if len(newest) >= limit and selection.ignores_content:
                # all of the rest is selected: it is counted without being read
                return newest, more + end - first
            start_of_chunk = max(first, end - CHUNK_RECORDS)
            chunk: list[Shortened] = []
            async for record in self._reader.records(_PARTITION, start_of_chunk, end):
                stored = _decode(record)
                if selection.matches(stored.dead_letter):
                    chunk.append(shorten(stored))
            room = max(0, limit - len(newest))
            newest += reversed(chunk[-room:] if room else [])
            more += max(0, len(chunk) - room)
            end = start_of_chunk
        return newest, more

    async def _first(self, selection: DeadLetterFilter) -> int:
        if selection.since is None:
            return self.oldest
        first = await self._reader.first_since(_PARTITION, selection.since)
        return self.end if first is None else max(first, self.oldest)


def _decode(record: Any) -> StoredDeadLetter:
    try:
        dead_letter = decode_dead_letter(record.value)
    except RecordError as error:
        # a record of another program is shown too
        dead_letter = DeadLetter(
            {}, f"not a dead letter of this product: {error}", record.value, record.key
        )
    return StoredDeadLetter(record.offset, record.timestamp * 1000, dead_letter)
